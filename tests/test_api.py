"""The functions for notebooks, on a real sweep and on made-up records."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from numpy.typing import NDArray
from sweeps import AMPLITUDES, PERIODS, plane, sweep

import dynsweep


@pytest.fixture(autouse=True)
def _pyplot() -> Iterator[None]:
    before = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep by the command: 2 periods, 2 amplitudes, 2 seeds."""
    place = tmp_path_factory.mktemp("real")
    grid = ["-m", "steps=40", "model.width=8", "engine=reference", "hydra.sweep.dir=out"]
    grid += ["loss.period=5,10", "loss.amplitude=1,10", "seed=0,1"]
    done = subprocess.run(
        [*COMMAND, *grid], cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return place / "out"


def values(axis: Axes) -> NDArray[np.float64]:
    mesh = next(one for one in axis.collections if isinstance(one, QuadMesh))
    return np.ma.filled(mesh.get_array(), np.nan)


def test_the_package_alone_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import dynsweep; dynsweep.__version__"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for heavy in ("numpy", "pandas", "matplotlib", "torch", "hydra"):
        assert f" {heavy}\n" not in done.stderr
    assert {"load", "phase_diagram"} <= set(dir(dynsweep))
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        _ = dynsweep.lod  # type: ignore[attr-defined]


def test_load_is_the_table_that_the_sweep_wrote(real: Path) -> None:
    results = dynsweep.load(real)
    assert len(results) == 8
    written = pd.read_csv(real / "results.csv")
    more = ["sweep", "weights", "snapshots", "trajectory"]
    assert results.columns.tolist() == [*written.columns, *more]
    assert results["sweep"].eq(str(real)).all()
    pd.testing.assert_frame_equal(
        results.drop(columns=more).dropna(axis=1, how="all"),
        written.dropna(axis=1, how="all"),
        check_dtype=False,
    )


def test_several_directories_are_one_table(tmp_path: Path) -> None:
    first, second = plane(tmp_path / "a", seeds=2), plane(tmp_path / "b", seeds=3)
    both = dynsweep.load(first, str(second))
    assert len(both) == len(PERIODS) * len(AMPLITUDES) * 3
    assert both["id"].is_unique


def test_a_diagram_of_a_real_sweep_shows_the_means_over_seeds(real: Path) -> None:
    results = dynsweep.load(real)
    axis = dynsweep.phase_diagram(results, metric="train_accuracy")
    means = results.pivot_table("train_accuracy", "amplitude", "period")
    assert values(axis) == pytest.approx(means.to_numpy())
    assert axis.get_xlabel() == "period T (steps)"
    assert axis.get_ylabel() == "amplitude A"
    # What a notebook shows by itself is what pyplot knows.
    assert axis.figure is plt.gcf()
    texts = [text.get_text() for text in axis.figure.texts]
    assert texts[0] == "Training accuracy"
    assert "width 8" in texts[1]
    # The written table serves as well, with the same colours.
    again = dynsweep.phase_diagram(pd.read_csv(real / "results.csv"), metric="train_accuracy")
    assert values(again) == pytest.approx(values(axis))
    bars = [one.figure.axes[-1].get_ylabel() for one in (axis, again)]
    assert "from chance, 0.33" in bars[0]
    assert bars[0] == bars[1]


def test_a_diagram_in_given_axes(tmp_path: Path) -> None:
    results = dynsweep.load(plane(tmp_path))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    found = dynsweep.phase_diagram(
        results, "gain_validation_accuracy", x="loss.amplitude", y="period", ax=left
    )
    assert found is left
    assert plt.get_fignums() == [figure.number]  # type: ignore[attr-defined]
    assert left.get_xlabel() == "amplitude A"
    assert left.get_title(loc="left") == "Gain in validation accuracy over the static loss"
    mean = results.pivot_table("validation_accuracy", "period", "amplitude")
    assert values(left) == pytest.approx(mean.sub(mean.loc[10, 1.0]).to_numpy())
    assert not right.collections
    assert "+0.39" in " ".join(text.get_text() for text in left.texts)
    (legend,) = [one for one in left.get_children() if type(one).__name__ == "Legend"]
    assert "not significant" in legend.get_texts()[0].get_text()


def test_rows_of_choice_are_drawn(tmp_path: Path) -> None:
    axes = {"width": [50, 100], "period": PERIODS, "amplitude": AMPLITUDES}
    results = dynsweep.load(sweep(tmp_path, axes))
    with pytest.raises(ValueError, match=r"also in width: choose, .* == 50\]") as found:
        dynsweep.phase_diagram(results)
    assert "\n" not in str(found.value)
    axis = dynsweep.phase_diagram(results[results["width"] == 50])
    assert "width 50" in axis.figure.texts[1].get_text()
    assert dynsweep.phase_diagram(results[results["period"] == 10], x="width").get_xlabel()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "recall"}, "metric=recall: must be one of train_accuracy, "),
        ({"x": "momentum"}, "x=momentum: must be one of period, amplitude"),
        ({"y": "lr"}, "y=lr: must be one of period, amplitude"),
        ({"x": "period", "y": "loss.period"}, "x=period y=period: must be two different settings"),
    ],
)
def test_errors_take_one_line(tmp_path: Path, options: dict[str, str], message: str) -> None:
    results = dynsweep.load(plane(tmp_path, seeds=1))
    with pytest.raises(ValueError, match="must be") as found:
        dynsweep.phase_diagram(results, **options)  # type: ignore[arg-type]
    assert str(found.value).startswith(message)
    assert "\n" not in str(found.value)
    assert not plt.get_fignums()


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    dynamical = sweep(tmp_path / "a", {"period": PERIODS, "amplitude": [10, 20]})
    with pytest.raises(ValueError, match=r"gain_train_accuracy: no static run \(amplitude 1\)"):
        dynsweep.phase_diagram(dynsweep.load(dynamical), "gain_train_accuracy")
    failed = sweep(
        tmp_path / "b", {"period": PERIODS, "amplitude": [10, 20]}, lambda point: "failed"
    )
    with pytest.raises(ValueError, match="train_loss: no run has a value"):
        dynsweep.phase_diagram(dynsweep.load(failed), "train_loss")
    with pytest.raises(ValueError, match="results: no runs"):
        dynsweep.phase_diagram(dynsweep.load(failed).head(0))


def test_a_directory_without_records_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none: no run records \(expected .*none/runs/\*.jsonl"):
        dynsweep.load(tmp_path / "none")
    with pytest.raises(ValueError, match="at least one sweep directory"):
        dynsweep.load()
