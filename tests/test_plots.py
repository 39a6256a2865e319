"""What the figures show: arrays, axes, panels, marks, and decision regions of real weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.text import Text
from runs import make_run
from sweeps import AMPLITUDES, PERIODS, SHARED, plane, record, sweep, write

from dynsweep.analysis import grid
from dynsweep.analysis.adaptive import Adaptive
from dynsweep.analysis.decisions import Predict, predictor, recorded_settings
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.statistics import cells
from dynsweep.cli.aggregate import aggregate
from dynsweep.config import flatten
from dynsweep.data import load
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.figures import FIGURES, SweepTables
from dynsweep.figures.lines import line_panels
from dynsweep.figures.phase_diagram import phase_panel, phase_panels
from dynsweep.store import COMPLETED, METRICS, Record, Store, load_weights, write_weights
from dynsweep.training.driver import train

PLANE = ("period", "amplitude")


def table(directory: Path) -> pd.DataFrame:
    return cells(load_runs([directory]))


def mesh(ax: Axes) -> QuadMesh:
    return next(one for one in ax.collections if isinstance(one, QuadMesh))


def drawn(ax: Axes) -> Any:
    return mesh(ax).get_array()


def marked(ax: Axes, label: str) -> list[tuple[int, int]]:
    """Cells of PERIODS and AMPLITUDES that have a mark."""
    to_data = ax.transAxes + ax.transData.inverted()
    lines = [line for line in ax.lines if str(line.get_label()).startswith(label)]
    places = [to_data.transform(line.get_xydata()) for line in lines]
    return [
        (min(PERIODS, key=lambda value: abs(np.log(value / x))),
         min(AMPLITUDES, key=lambda value: abs(np.log(value / y))))
        for x, y in np.concatenate(places)
    ]  # fmt: skip


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


def labels(ax: Axes, which: str) -> list[str]:
    return [t.get_text() for t in getattr(ax, f"get_{which}ticklabels")() if t.get_text()]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other, and texts that leave the figure."""
    figure.draw_without_rendering()
    hidden = set()
    for ax in figure.axes:
        for line, place in ((ax.xaxis, 0), (ax.yaxis, 1)):
            low, high = sorted(line.get_view_interval())
            # Matplotlib keeps labels of ticks outside the limits, and does not show them.
            hidden |= {
                one
                for one in line.get_ticklabels(which="both")
                if not low * 0.999999 <= one.get_position()[place] <= high * 1.000001
            }
    found = figure.findobj(lambda one: isinstance(one, Text) and bool(one.get_text()))
    texts = [text for text in set(found) - hidden if text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    whole = figure.bbox.padded(1)
    found = [(name, "edge") for name, b in boxes if not whole.contains(*b.min)]
    found += [(name, "edge") for name, b in boxes if not whole.contains(*b.max)]
    for index, (name, box) in enumerate(boxes):
        found += [(name, other) for other, b in boxes[index + 1 :] if box.padded(-1).overlaps(b)]
    return found


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([10, 30, 100, 300, 1000, 3000], True),
        ([1, 3, 10, 20, 40, 70], True),
        ([100, 200, 500, 1000], True),
        ([0.1, 0.2, 0.5, 1, 2], True),
        ([1, 10, 20, 30, 40, 50, 60, 70], False),
        ([100, 200, 300, 400], False),
        ([0, 1, 10, 100], False),
        ([1, 20], True),
        ([0.5, 1], False),
    ],
)
def test_axes_are_logarithmic_where_values_are_log_spaced(values: list[float], log: bool) -> None:
    scale = grid.scale(pd.Series(values))
    assert scale.log is log
    assert scale.positions.tolist() == values
    lows, highs = scale.edges[:-1], scale.edges[1:]
    assert ((lows < values) & (values < highs)).all()
    middles = np.sqrt if log else (lambda pairs: pairs / 2)
    inner = np.array(values)
    joined = inner[1:] * inner[:-1] if log else inner[1:] + inner[:-1]
    assert scale.edges[1:-1] == pytest.approx(middles(joined))


def test_words_and_single_values_have_places_too() -> None:
    assert grid.scale(pd.Series(["standard", "glorot"])).values == ["glorot", "standard"]
    assert grid.scale(pd.Series([7])).edges.tolist() == [-0.5, 0.5]
    assert grid.scale(pd.Series([True, False])).positions.tolist() == [0, 1]


def test_the_diagram_shows_the_table_at_its_true_positions(tmp_path: Path) -> None:
    of = table(plane(tmp_path))
    figure = phase_panels(of, "validation_accuracy", *PLANE)
    ax, bar = figure.axes
    wide = of.pivot(index="amplitude", columns="period", values="validation_accuracy_mean")
    assert np.array_equal(drawn(ax), wide.to_numpy())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "period T (steps)"
    assert ax.get_ylabel() == "amplitude A"
    assert labels(ax, "x") == ["10", "30", "100", "300", "1000"]
    assert labels(ax, "y") == ["1 (static)", "3", "10", "40"]
    corners = mesh(ax).get_coordinates()
    assert np.asarray(corners[0, 1:-1, 0]) == pytest.approx(
        np.sqrt(np.multiply(PERIODS[1:], PERIODS[:-1]))
    )
    assert mesh(ax).get_clim() == pytest.approx((1 / 3, 1))
    assert bar.get_ylabel() == "validation accuracy\n(colours from chance, 0.33 to 1)"
    title, facts = (text.get_text() for text in figure.texts)
    assert title == "Validation accuracy"
    assert facts == "spirals, mlp, width 100, init standard, lr 1, 35,000 steps, 3 seeds"
    assert not legend(figure)


def test_missing_failed_and_diverged_cells_are_marked(tmp_path: Path) -> None:
    def status(point: dict[str, Any]) -> str | None:
        endings = {(1000, 40): None, (1000, 10): "failed", (10, 40): "diverged"}
        return endings.get((point["period"], point["amplitude"]), COMPLETED)

    axes = {"period": PERIODS, "amplitude": AMPLITUDES, "seed": range(3)}
    figure = phase_panels(table(sweep(tmp_path, axes, status)), "train_accuracy", *PLANE)
    ax = figure.axes[0]
    masked = np.ma.getmaskarray(drawn(ax))
    assert list(zip(*np.nonzero(masked), strict=True)) == [(2, 4), (3, 4)]
    assert any(patch.get_hatch() for patch in ax.patches)
    assert legend(figure) == ["no result", "a run failed", "a run diverged"]
    assert marked(ax, "a run failed") == [(1000, 10)]
    assert marked(ax, "a run diverged") == [(10, 40)]
    # The number of a cell and its mark stand apart.
    numbers = np.array([text.get_position() for text in ax.texts])
    marks = [line.get_xydata() for line in ax.lines if line.get_label().startswith("a run")]
    assert all(np.abs(numbers - place).max(axis=1).min() > 0.05 for place in np.vstack(marks))
    assert overlaps(figure) == []


def test_the_static_row_is_filled_from_one_period(tmp_path: Path) -> None:
    axes = {"period": PERIODS, "amplitude": AMPLITUDES[1:], "seed": range(2)}
    sweep(tmp_path, axes)
    sweep(tmp_path, {"seed": range(2)}, amplitude=1, period=77)
    of = table(tmp_path)
    shown = drawn(phase_panels(of, "train_accuracy", *PLANE).axes[0])
    assert shown.shape == (4, 5)
    assert np.ptp(shown[0]) == 0
    assert shown[0, 0] == of.loc[of["amplitude"] == 1, "train_accuracy_mean"].item()


def test_gains_have_a_centred_map_and_dots_where_not_significant(tmp_path: Path) -> None:
    of = table(plane(tmp_path))
    figure = phase_panels(of, "gain_validation_accuracy", *PLANE)
    ax, bar = figure.axes
    wide = of.pivot(index="amplitude", columns="period", values="validation_accuracy_gain")
    assert np.array_equal(drawn(ax), wide.to_numpy())
    low, high = mesh(ax).get_clim()
    assert low == -high
    assert high >= of["validation_accuracy_gain"].abs().max()
    assert mesh(ax).get_cmap().name == "RdBu"
    doubtful = (of["validation_accuracy_gain_p_corrected"] > 0.05).sum()
    assert doubtful > 0
    assert len(marked(ax, "not significant")) == doubtful
    assert any("not significant at 5 %" in text for text in legend(figure))
    assert bar.get_ylabel() == "gain in validation accuracy\nover the static loss"


def test_a_gain_of_one_seed_says_so(tmp_path: Path) -> None:
    figure = phase_panels(table(plane(tmp_path, seeds=1)), "gain_train_accuracy", *PLANE)
    assert figure.texts[-1].get_text().endswith("1 seed\nNo significance with one seed.")


def test_further_settings_become_panels_with_the_static_loss_first(tmp_path: Path) -> None:
    axes = {"width": [100, 200, 500], "lr": [0.1, 1], "amplitude": [1, 20], "period": [10, 100]}
    of = table(sweep(tmp_path, {**axes, "seed": range(2)}))
    assert grid.choose_axes(of) == ("width", "lr")
    figure = phase_panels(of, "train_accuracy", "width", "lr")
    *panels, _ = figure.axes
    titles = [ax.get_title() for ax in panels]
    assert titles == ["static (A = 1)", "T = 10, A = 20", "T = 100, A = 20"]
    rows = of[(of["amplitude"] == 20) & (of["period"] == 100)]
    wide = rows.pivot(index="lr", columns="width", values="train_accuracy_mean")
    assert np.array_equal(drawn(panels[2]), wide.to_numpy())
    assert len({mesh(ax).get_clim() for ax in panels}) == 1
    assert panels[0].get_xlabel() == "width (hidden units)"
    assert panels[0].get_ylabel() == "learning rate"
    assert overlaps(figure) == []
    *gains, _ = phase_panels(of, "gain_train_accuracy", "width", "lr").axes
    assert [ax.get_title() for ax in gains] == titles[1:]


@pytest.mark.slow
def test_no_more_than_twelve_panels(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 0.2, 0.5, 1, 2], "width": [10, 50, 100], "period": PERIODS[:3]}
    sweep(tmp_path, {**axes, "amplitude": [3, 10, 30]})
    summary = aggregate([tmp_path], metrics=["train_accuracy"], formats=["png"])
    assert "first 12 of 15 panels (width, lr)" in summary.notes[0]
    assert len(phase_panels(summary.cells, "train_accuracy", *PLANE).axes) == 13


def test_axes_chosen_by_default(tmp_path: Path) -> None:
    def chosen(name: str, **axes: Any) -> tuple[str | None, str | None]:
        return grid.choose_axes(table(sweep(tmp_path / name, axes)))

    assert chosen("a", period=PERIODS, amplitude=AMPLITUDES, lr=range(1, 9)) == (
        "period",
        "amplitude",
    )
    assert chosen("b", lr=[0.1, 1, 2], amplitude=AMPLITUDES) == ("lr", "amplitude")
    assert chosen("c", period=PERIODS, amplitude=[1, 20]) == ("period", None)
    assert chosen("d", amplitude=AMPLITUDES, seed=[0, 1]) == ("amplitude", None)
    assert chosen("e", init=["standard", "glorot"], lr=[1, 2], width=[1, 2]) == ("width", "lr")
    assert chosen("f", seed=range(3)) == (None, None)


def test_one_swept_setting_is_a_line_with_errors_beside_the_static_loss(tmp_path: Path) -> None:
    of = table(sweep(tmp_path, {"period": PERIODS, "amplitude": [1, 20], "seed": range(4)}))
    figure = line_panels(of, "validation_accuracy", "period")
    (ax,) = figure.axes
    dynamical, static = ax.containers
    rows = of[of["amplitude"] == 20].sort_values("period")
    line, _, (bars,) = dynamical.lines
    assert np.array_equal(line.get_ydata(), rows["validation_accuracy_mean"])
    heights = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    assert heights == pytest.approx(rows["validation_accuracy_se"])
    assert len(static.lines[0].get_xdata()) == len(PERIODS)
    assert np.ptp(static.lines[0].get_ydata()) == 0
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "validation accuracy, mean ± s.e."
    assert legend(figure) == ["dynamical loss", "static loss (A = 1)"]
    assert overlaps(figure) == []


def test_values_of_a_search_are_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    settings = [
        {"period": int(10 ** rng.uniform(1, 3)), "amplitude": 10 ** rng.uniform(0, 2)}
        for _ in range(40)
    ]
    of = table(write(tmp_path, [record(n, **one) for n, one in enumerate(settings)]))
    (points,) = phase_panels(of, "train_accuracy", *PLANE).axes[0].collections
    assert np.sort(np.asarray(points.get_array())) == pytest.approx(
        np.sort(of["train_accuracy_mean"])
    )


def test_one_panel_in_axes_of_a_page(tmp_path: Path) -> None:
    """Of somebody's own figure, with its own layout: the bar, the marks and the numbers fit."""
    page = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = page.subplots(1, 2)
    of = table(plane(tmp_path))
    assert phase_panel(of, "gain_train_accuracy", *PLANE, ax=right) is right
    assert not left.has_data()
    assert np.array_equal(
        drawn(right), drawn(phase_panels(of, "gain_train_accuracy", *PLANE).axes[0])
    )
    assert right.get_legend() is not None
    assert right.get_title(loc="left") == "Gain in training accuracy over the static loss"
    assert overlaps(page) == []
    assert phase_panel(of, "train_accuracy", *PLANE).get_xlabel() == "period T (steps)"


@pytest.mark.slow
def test_twelve_panels_with_marks_do_not_overlap(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1, 2], "width": [10, 50, 100, 200], "period": PERIODS, "seed": [0, 1]}
    of = table(sweep(tmp_path, {**axes, "amplitude": [1, 10, 40]}))
    for metric in ("validation_loss", "gain_validation_accuracy"):
        figure = phase_panels(of, metric, *PLANE)
        assert len(figure.axes) == 13
        assert overlaps(figure) == []


def test_every_figure_of_the_registry_draws_or_says_why_not(trained: Path, tmp_path: Path) -> None:
    frame = load_runs([trained])
    rounds = Adaptive("train_accuracy", 0.03, 0)
    tables = SweepTables(frame, cells(frame), "period", "amplitude", rounds)
    assert all(isinstance(draw(tables), Figure) for draw in FIGURES.values())
    assert tables.notes == []
    frame = load_runs([sweep(tmp_path, {"seed": range(2)})])
    tables = SweepTables(frame, cells(frame))
    assert [draw(tables) for draw in FIGURES.values()] == [None] * len(FIGURES)
    assert tables.notes == ["No phase diagram: no setting but the seed was swept."]


def test_the_style_holds_in_figures_and_nowhere_else(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    ax = phase_panel(table(plane(tmp_path)), "train_accuracy", *PLANE)
    assert ax.xaxis.label.get_size() == 9.5
    assert ax.get_xticklabels()[0].get_color() == "0.15"
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("size", [1, 2, 20, 50])
def test_no_label_covers_another_in_large_and_small_grids(tmp_path: Path, size: int) -> None:
    axes = {
        "period": np.unique(np.geomspace(8, 20_000, size).round().astype(int)).tolist(),
        "amplitude": np.linspace(1, 70, size).tolist(),
    }
    of = table(sweep(tmp_path, axes))
    figure = phase_panels(of, "train_accuracy", *PLANE)
    assert drawn(figure.axes[0]).shape == (size, len(axes["period"]))
    assert overlaps(figure) == []
    assert figure.get_size_inches()[0] * 150 <= 1600


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short real trainings with their weights."""
    directory = tmp_path_factory.mktemp("trained")
    points = [{"amplitude": a, "period": 50, "seed": s} for a in (1, 20, 40) for s in (0, 1)]
    runs = tuple(make_run(steps=300, **point) for point in points)
    outcome = train(Batch(runs), ReferenceEngine(), "cpu")
    records = [
        Record(
            one.identity(),
            number,
            [],
            flatten(one),
            COMPLETED,
            {name: float(outcome.metrics[name][number]) for name in METRICS},
        )
        for number, one in enumerate(runs)
    ]
    store = Store(directory)
    weights = write_weights([one.id for one in records], outcome.weights)
    name = store.attach(store.paths.weights, ".npz", weights)
    store.append(records, {**SHARED, "weights": name})
    store.close()
    return directory


def predict_of(row: pd.Series) -> Predict:
    weights = load_weights(row["directory"], row["weights"])[row["id"]]
    return predictor(recorded_settings(row.to_frame().T)[row["id"]], weights)


def test_saved_weights_predict_with_the_recorded_accuracy(trained: Path) -> None:
    frame = load_runs([trained])
    settings = recorded_settings(frame)
    for _, row in frame.iterrows():
        data = load(settings[row["id"]].dataset)
        predict = predict_of(row)
        for part in ("train", "validation"):
            inputs, labels_ = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_labels")
            right = (predict(inputs) == labels_).mean()
            assert right == pytest.approx(row[f"{part}_accuracy"], abs=1e-9)


def test_decision_regions_show_static_and_best(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: dict[str, Figure] = {}
    monkeypatch.setattr(
        "dynsweep.figures.style.save_all",
        lambda figure, stem, formats: figures.update({stem.name: figure}) or [],
    )
    summary = aggregate([trained], tmp_path, formats=["png"])
    static, best = figures["decision_regions"].axes
    assert summary.best is not None
    assert static.get_title().startswith("static (A = 1), seed ")
    assert best.get_title().startswith(f"T = 50, A = {summary.best['amplitude']:.0f}, seed ")
    seed = int(best.get_title().split("seed ")[1].split("\n")[0])
    runs = summary.runs[summary.runs["seed"] == seed]
    row = runs[runs["amplitude"] == summary.best["amplitude"]].iloc[0]
    assert f"validation {row['validation_accuracy']:.3f}" in best.get_title()
    image = best.images[0]
    shown = np.asarray(image.get_array())
    edge = image.get_extent()[1]
    ax = np.linspace(-edge, edge, len(shown))
    points = np.stack(np.meshgrid(ax, ax), axis=-1).reshape(-1, 2)
    assert np.array_equal(shown.ravel(), predict_of(row)(points))
    assert sum(len(points.get_offsets()) for points in best.collections) == 300
    # Regions and points of one class are of one hue.
    pale = image.to_rgba(np.arange(3))[:, :3]
    full = np.array([points.get_facecolor()[0, :3] for points in best.collections])
    hues = [matplotlib.colors.rgb_to_hsv(some)[:, 0] for some in (pale, full)]
    assert hues[0] == pytest.approx(hues[1], abs=0.01)
    assert overlaps(figures["decision_regions"]) == []


def test_decision_regions_of_chosen_runs(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: dict[str, Figure] = {}
    monkeypatch.setattr(
        "dynsweep.figures.style.save_all",
        lambda figure, stem, formats: figures.update({stem.name: figure}) or [],
    )
    wanted = ["period=50,amplitude=40,seed=1", "loss.amplitude=1.0,seed=0", "amplitude=20"]
    aggregate([trained], tmp_path, decisions=wanted, metrics=[], formats=["png"])
    titles = [ax.get_title() for ax in figures["decision_regions"].axes]
    assert titles[0].startswith("T = 50, A = 40, seed 1")
    assert titles[1].startswith("static (A = 1), seed 0")
    assert titles[2].startswith("T = 50, A = 20, seed ")


def test_lost_weights_cost_no_more_than_their_picture(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append([record(0)], {**SHARED, "weights": "lost.npz"})
    store.close()
    summary = aggregate([tmp_path])
    assert "lost.npz" in " ".join(summary.notes)
    assert [path.name for path in summary.files] == ["results.csv", "cells.csv"]


def test_figures_come_as_png_and_pdf_and_without_pyplot(trained: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from dynsweep.cli.aggregate import aggregate;"
        "assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules;"
        "aggregate([sys.argv[1]], sys.argv[2]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(trained), str(tmp_path)], check=True)
    names = ["phase_diagram_train_accuracy", "phase_diagram_validation_accuracy"]
    names += ["gain_train_accuracy", "gain_validation_accuracy", "decision_regions"]
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
