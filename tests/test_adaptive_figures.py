"""What people see of an adaptive sweep: cells of different sizes, seeds, errors, the boundary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from sweeps import sweep

from dynsweep.analysis.adaptive import Adaptive, adaptive
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.select import best_cell
from dynsweep.analysis.statistics import cells
from dynsweep.cli.aggregate import aggregate
from dynsweep.figures import FIGURES
from dynsweep.figures.tables import SweepTables
from dynsweep.page.payload import payload
from dynsweep.store.sealed import seal

PERIODS, AMPLITUDES = [10, 40, 160, 640], [1, 4, 16, 64]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A grid, one square of which is halved; more seeds there, and one static cell."""
    axes = {"amplitude": [4, 16, 64], "period": PERIODS, "seed": range(3)}
    sweep(tmp_path, axes)
    sweep(tmp_path, {"amplitude": [1], "period": [10], "seed": range(6)})
    new = {(80, 16), (80, 32), (40, 32), (160, 32), (80, 64)}
    finer = {"amplitude": [16, 32, 64], "period": [40, 80, 160], "seed": range(6)}
    sweep(
        tmp_path, finer,
        lambda at: "completed" if (at["period"], at["amplitude"]) in new else None,
    )  # fmt: skip
    wishes = {"objective": "train_accuracy", "error": 0.03, "refine": 1}
    line = seal({"command": "c", "round": 1, **wishes, "asked": {}})
    (tmp_path / "rounds.jsonl").write_text(line + "\n" + line[:20])  # killed while writing
    return tmp_path


def drawn(directory: Path, name: str, of: Adaptive | None) -> Figure:
    runs = load_runs([directory])
    figure = FIGURES[name](SweepTables(runs, cells(runs), "period", "amplitude", of))
    assert figure is not None
    return figure


def test_what_rounds_were_after_is_read_from_the_directory(
    directory: Path, tmp_path: Path
) -> None:
    assert adaptive([directory]) == Adaptive("train_accuracy", 0.03, 1)
    assert adaptive([tmp_path / "other"]) is None


def test_cells_reach_halfway_to_their_neighbours(directory: Path) -> None:
    """Also where the grid beside them is coarser; nothing is empty."""
    figure = drawn(directory, "phase_diagram_train_accuracy", adaptive([directory]))
    ax = figure.axes[0]
    mesh = ax.collections[0]
    values, corners = np.ma.asarray(mesh.get_array()), mesh.get_coordinates()
    assert not np.ma.getmaskarray(values).any()
    table = cells(load_runs([directory]))

    def shown(period: float, amplitude: float) -> float:
        x = np.searchsorted(corners[0, :, 0], period, side="right") - 1
        y = np.searchsorted(corners[:, 0, 1], amplitude, side="right") - 1
        return float(values.reshape(len(corners) - 1, -1)[y, x])

    def mean(period: float, amplitude: float) -> float:
        row = table[(table["period"] == period) & (table["amplitude"] == amplitude)]
        return float(row["train_accuracy_mean"].iloc[0])

    # Of the coarse cell up to the geometric mean of the periods, of the finer one its quarter.
    for period in (10.5, 19.5):
        assert shown(period, 4.1) == pytest.approx(mean(10, 4))
    assert shown(20.5, 4.1) == pytest.approx(mean(40, 4))
    for period in (41.0, 55.0, 57.5, 110.0):
        assert shown(period, 16.2) == pytest.approx(mean(40 if period < 56.5 else 80, 16))
    for period in PERIODS:  # one static cell, at every period
        assert shown(period * 1.01, 1.01) == pytest.approx(mean(10, 1))
    without = drawn(directory, "phase_diagram_train_accuracy", None)
    assert np.ma.getmaskarray(without.axes[0].collections[0].get_array()).any()


def test_the_boundary_has_a_band(directory: Path) -> None:
    figure = drawn(directory, "phase_diagram_train_accuracy", adaptive([directory]))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["accuracy 0.8 (white), and where it is within an error of that"]
    band, line = figure.axes[0].collections[-2:]
    assert band.get_paths()
    x, y = line.get_paths()[0].vertices.T
    assert 10 <= x.min() < x.max() <= 640
    assert 1 <= y.min() < y.max() <= 64


@pytest.mark.slow
def test_seeds_errors_and_the_share_that_learns_have_figures(directory: Path) -> None:
    summary = aggregate([directory], formats=["png"], html=True)
    names = {path.name for path in summary.files}
    assert names >= {"seeds.png", "error.png", "phase_diagram_learning_probability.png"}
    of = adaptive([directory])
    seeds = drawn(directory, "seeds", of).axes[0].collections[0].get_array()
    assert set(np.unique(seeds)) == {3, 6}
    error = drawn(directory, "error", of)
    assert error.axes[-1].get_ylabel() == "error of the training accuracy\n(0.03 is wanted)"
    share = drawn(directory, "phase_diagram_learning_probability", of)
    assert "(training accuracy of at least 0.8)" in share.axes[-1].get_ylabel()


@pytest.mark.slow
def test_a_plain_sweep_has_none_of_them(tmp_path: Path) -> None:
    sweep(tmp_path, {"amplitude": [1, 4], "period": [10, 40], "seed": range(3)})
    summary = aggregate([tmp_path], formats=["png"])
    names = {path.name for path in summary.files}
    assert not names & {"seeds.png", "error.png", "phase_diagram_learning_probability.png"}


def test_the_page_has_true_places(directory: Path) -> None:
    runs = load_runs([directory])
    axes = payload(runs, cells(runs), ["period", "amplitude"], finer=True)["axes"]
    (period,) = [axis for axis in axes if axis["name"] == "period"]
    assert np.diff(period["places"]) == pytest.approx(np.log10([4, 2, 2, 4]))
    assert period["edges"][1] == pytest.approx(np.log10(20))
    axes = payload(runs, cells(runs), ["period", "amplitude"])["axes"]
    assert axes[0]["edges"] == [k - 0.5 for k in range(len(axes[0]["values"]) + 1)]


def test_the_best_cell_may_have_needed_few_seeds(directory: Path) -> None:
    table = cells(load_runs([directory]))
    few = table["seeds"] == 3
    table.loc[few & (table["amplitude"] == 16), "validation_accuracy_mean"] = 0.99
    table.loc[few, "validation_accuracy_error"] = 0.001
    best = best_cell(table)
    assert best is not None
    assert (best["seeds"], best["amplitude"]) == (3, 16)
    table.loc[few, "validation_accuracy_error"] = 0.5  # half-trained
    best = best_cell(table)
    assert best is not None
    assert best["seeds"] == 6
