"""What the figures of one run, and of many runs' thresholds, show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from test_plots import overlaps

from dynsweep.data import Dataset
from dynsweep.figures import style
from dynsweep.figures.bouncing import bifurcation, threshold
from dynsweep.figures.decision_regions import (
    Picture,
    decision_strip,
    save_animation,
    snapshot,
)
from dynsweep.figures.trajectory import broken, trajectory


@pytest.fixture
def frame() -> pd.DataFrame:
    """A made-up run of 400 steps, T = 100, with curvature every 10 steps."""
    step = np.arange(400)
    phase = step % 100
    sparse = step % 10 == 0
    columns = {
        "id": "a",
        "step": step,
        "loss": 1 + 0.5 * np.cos(step / 30),
        "loss_change": np.where(step > 0, 0.01 * np.sin(step) * (phase > 50), np.nan),
        "train_accuracy": np.clip(step / 400, 0.3, 1),
        "train_accuracy_0": np.clip(step / 300, 0.3, 1),
        "validation_accuracy": np.clip(step / 500, 0.3, 1),
        "sharpness": np.where(sparse, 1 + phase / 50, np.nan),
        "ntk": np.where(sparse, 5.0 + step / 100, np.nan),
    }
    for index in range(3):
        columns[f"weight_{index}"] = np.where(step // 100 % 3 == index, 1 + phase / 100, 0.8)
    return pd.DataFrame(columns)


def ylabels(figure: Figure) -> list[str]:
    return [ax.get_ylabel().replace("\n", " ") for ax in figure.axes if ax.get_ylabel()]


def entries(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_a_run_in_time(frame: pd.DataFrame, tmp_path: Path) -> None:
    figure = trajectory(frame, 0.5, "H = 20, lr = 0.5", (120, 160), period=100)
    assert ylabels(figure) == [
        "class weight $G_i(t)$",
        "loss $F(W_t, t)$",
        "change of loss $F(t) - F(t-1)$",
        "accuracy",
        "training accuracy of each class",
        "largest Hessian eigenvalue",
        "largest NTK eigenvalue",
    ]
    whole, zoom = figure.axes[10:12]
    assert entries(zoom) == ["of F(t)", "2/lr = 4"]
    curve, threshold = whole.get_lines()[:2]
    np.testing.assert_array_equal(curve.get_xdata(), np.arange(0, 400, 10))
    np.testing.assert_array_equal(curve.get_ydata(), frame["sharpness"].dropna())
    assert set(threshold.get_ydata()) == {4.0}
    np.testing.assert_array_equal(zoom.get_lines()[0].get_xdata(), [120, 130, 140, 150, 160])
    assert (whole.get_yscale(), zoom.get_xlim()) == ("log", (120, 160))
    assert entries(figure.axes[1]) == ["class 0", "class 1", "class 2"]
    assert overlaps(figure) == []


def test_files_and_absent_rows(frame: pd.DataFrame, tmp_path: Path) -> None:
    few = frame[["step", "loss", "sharpness"]].assign(loss_change=np.nan)
    figure = trajectory(few, 1, "")
    assert ylabels(figure) == ["loss $F(W_t, t)$", "largest Hessian eigenvalue"]
    assert len(figure.axes) == 2
    assert overlaps(figure) == []
    written = style.save_all(figure, tmp_path / "lr0.5")
    assert [path.name for path in written] == ["lr0.5.png", "lr0.5.pdf"]
    assert all(path.stat().st_size for path in written)
    with pytest.raises(ValueError, match="nothing recorded"):
        trajectory(frame[["id", "step"]], 1, "")


def test_the_static_hessian_has_a_line_of_its_own(frame: pd.DataFrame) -> None:
    both = frame.assign(static_sharpness=frame["sharpness"] * 2)
    assert entries(trajectory(both, 1).axes[5]) == ["of F(t)", "of the static loss", "2/lr = 2"]
    alone = trajectory(both.assign(static_sharpness=np.nan), 1)
    assert entries(alone.axes[5]) == ["of F(t)", "2/lr = 2"]


def test_gaps_are_not_joined() -> None:
    x, y = broken(np.array([0.0, 1, 2, 50, 51, 52]), np.arange(6.0))
    np.testing.assert_array_equal(x, [0, 1, 2, np.nan, 50, 51, 52])
    np.testing.assert_array_equal(y, [0, 1, 2, np.nan, 3, 4, 5])
    even = np.arange(0, 100, 10.0)
    np.testing.assert_array_equal(broken(even, even)[0], even)
    assert len(broken(np.array([]), np.array([]))[0]) == 0


def test_bouncing_over_curvature(frame: pd.DataFrame) -> None:
    ax = bifurcation(frame, 1.0, period=100)
    figure = style.title(ax, "Bouncing and curvature", "T = 100")
    _, bar = figure.axes
    points = ax.collections[0]
    shown = frame[frame["loss_change"].notna() & (frame["step"] <= 390)]
    offsets = np.asarray(points.get_offsets())
    np.testing.assert_array_equal(offsets[:, 1], shown["loss_change"])
    np.testing.assert_array_equal(points.get_array(), shown["step"] % 100 / 100)
    at_25 = offsets[shown["step"].to_numpy() == 25, 0]
    assert at_25 == pytest.approx(1.5)  # between 1.4 at t = 20 and 1.6 at t = 30
    assert entries(ax) == ["2/lr = 2"]
    assert bar.get_ylabel() == "time within the cycle (part of T)"
    assert overlaps(figure) == []
    page = Figure(figsize=(10, 4), layout="constrained")
    left, right = page.subplots(1, 2)
    assert bifurcation(frame[frame["step"].between(100, 200)], 1.0, ax=right) is right
    assert not left.has_data()
    assert len(right.collections[0].get_offsets()) == 101
    assert page.axes[-1].get_ylabel() == "time t (steps)"
    assert overlaps(page) == []
    with pytest.raises(ValueError, match="no step"):
        bifurcation(frame.assign(sharpness=np.nan), 1)


def test_the_threshold_over_learning_rate_and_width() -> None:
    runs = pd.DataFrame([(lr, h) for lr in (0.25, 0.5, 1, 2) for h in (10, 100)])
    runs.columns = pd.Index(["lr", "width"])
    runs["sharpness"] = 2.2 / runs["lr"]
    runs = pd.concat([runs, runs.assign(sharpness=np.nan, lr=9)])
    figure = threshold(runs, "T = 100, A = 20")
    left, right = figure.axes
    assert entries(left) == [
        "width = 10", "width = 100", "2/lr", "fit: 2.2 lr$^k$, k = \u22121.000"
    ]  # fmt: skip
    assert entries(right) == ["lr = 0.25", "lr = 0.5", "lr = 1", "lr = 2", "2/lr"]
    np.testing.assert_array_equal(left.get_lines()[0].get_xdata(), [0.25, 0.5, 1, 2])
    two = left.get_lines()[2]
    np.testing.assert_allclose(two.get_xdata() * two.get_ydata(), 2)
    assert left.get_ylim() == right.get_ylim()
    assert overlaps(figure) == []
    one = threshold(runs[runs["width"] == 10], "")
    assert len(one.axes) == 1
    assert entries(one.axes[0])[0] == "runs"
    alone = threshold(runs[runs["lr"] == 1], "")
    assert entries(alone.axes[0]) == ["width = 10", "width = 100", "2/lr"]
    with pytest.raises(ValueError, match="no run with an onset"):
        threshold(runs.assign(sharpness=np.nan), "")


def half_plane(angle: float, points: NDArray[np.float64], labels: NDArray[np.int64]) -> Picture:
    """A model that parts the plane along a line at ``angle`` degrees."""
    across = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    data = Dataset(points, labels, points, labels, classes=2)
    return snapshot(int(angle), lambda inputs: (inputs @ across > 0).astype(np.int64), data)


def test_decision_regions_in_time() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (60, 2))
    labels = (points[:, 0] > 0).astype(np.int64)
    snapshots = [half_plane(angle, points, labels) for angle in (0, 90, 180)]
    figure = decision_strip(snapshots, "H = 20")
    assert [ax.get_title().split("\n")[0] for ax in figure.axes] == [
        "t = 0", "t = 90", "t = 180"
    ]  # fmt: skip
    assert figure.axes[0].get_title().endswith("accuracy 1.00")
    assert figure.axes[2].get_title().endswith("accuracy 0.00")
    right = [np.asarray(ax.images[0].get_array())[10, -1] for ax in figure.axes]
    assert right == [1, 0, 0]
    assert overlaps(figure) == []
    for count in (1, 6, 8):
        assert overlaps(decision_strip(snapshots[:1] * count, "H = 20")) == []


def test_the_animation_has_a_frame_per_moment(tmp_path: Path) -> None:
    points = np.array([[1.0, 1], [-1, -1]])
    snapshots = [half_plane(angle, points, np.array([0, 1])) for angle in (0, 90, 180)]
    path = save_animation(snapshots, tmp_path / "a.gif", fps=10)
    assert [one.name for one in tmp_path.iterdir()] == ["a.gif"]
    with Image.open(path) as gif:
        durations = []
        for frame in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(frame)
            durations.append(gif.info["duration"])
    # Equal frames at the end become one that stays.
    assert len(durations) >= 3
    assert sum(durations) == 7 * 100
