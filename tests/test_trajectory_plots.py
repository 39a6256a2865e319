"""What the figures of one run, and of many runs' thresholds, show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from test_plots import overlaps

from dynsweep.plots.trajectory import broken, draw_trajectory, present, trajectory


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
        "validation_accuracy": np.clip(step / 500, 0.3, 1),
        "sharpness": np.where(sparse, 1 + phase / 50, np.nan),
        "ntk": np.where(sparse, 5.0 + step / 100, np.nan),
    }
    for index in range(3):
        columns[f"weight_{index}"] = np.where(step // 100 % 3 == index, 1 + phase / 100, 0.8)
    return pd.DataFrame(columns)


def ylabels(figure: Figure) -> list[str]:
    return [axis.get_ylabel().replace("\n", " ") for axis in figure.axes if axis.get_ylabel()]


def entries(axis: Axes) -> list[str]:
    legend = axis.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_a_run_in_time(frame: pd.DataFrame, tmp_path: Path) -> None:
    figure = trajectory(frame, 0.5, "H = 20, lr = 0.5", (120, 160), period=100)
    assert ylabels(figure) == [
        "class weight $G_i(t)$",
        "loss $F(W_t, t)$",
        "change of loss $F(t) - F(t-1)$",
        "accuracy",
        "largest Hessian eigenvalue",
        "largest NTK eigenvalue",
    ]
    whole, zoom = figure.axes[8:10]
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
    written = draw_trajectory(few, tmp_path / "lr0.5", 1, "title")
    assert [path.name for path in written] == ["lr0.5.png", "lr0.5.pdf"]
    assert all(path.stat().st_size for path in written)
    with pytest.raises(ValueError, match="nothing recorded"):
        trajectory(frame[["id", "step"]], 1, "")


def test_the_static_hessian_has_a_line_of_its_own(frame: pd.DataFrame) -> None:
    both = frame.assign(static_sharpness=frame["sharpness"] * 2)
    assert [c.text for c in present(both)[4].curves] == ["of F(t)", "of the static loss"]


def test_gaps_are_not_joined() -> None:
    x, y = broken(np.array([0.0, 1, 2, 50, 51, 52]), np.arange(6.0))
    np.testing.assert_array_equal(x, [0, 1, 2, np.nan, 50, 51, 52])
    np.testing.assert_array_equal(y, [0, 1, 2, np.nan, 3, 4, 5])
    even = np.arange(0, 100, 10.0)
    np.testing.assert_array_equal(broken(even, even)[0], even)
    assert len(broken(np.array([]), np.array([]))[0]) == 0
