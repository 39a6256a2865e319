"""Decision regions of one run at several times: a strip of panels, and an animation."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dynsweep.analysis.decisions import Picture
from dynsweep.config.labels import number
from dynsweep.figures import style
from dynsweep.figures.decision_regions import decision_regions, half_side, predicted

MOST = 8  # panels of a strip
GIF_DPI = 100
HOLD = 5  # the last frame stays as long as this many
TITLE = "Decision regions, training accuracy"

Predict = Callable[[NDArray[np.float64]], NDArray[np.int64]]


@dataclass(frozen=True)
class Moment:
    """The model after ``step`` steps: classes of points, ``(points, 2) -> (points,)``; -1 where
    there is none."""

    step: int
    predict: Predict


def decision_strip(
    moments: Sequence[Moment],
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    facts: str = "",
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw one row of panels, in the order given.

    Args:
        moments: what to show, 1 to 8.
        points: training inputs ``(samples, 2)``.
        labels: their classes ``(samples,)``.
        facts: the run's settings.
        figure: an empty one to draw in.

    Raises:
        ValueError: no moments, or too many.
    """
    count = len(moments)
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} moments: a strip has 1 to {MOST}")
    pictures = [_picture(moment, points, labels) for moment in moments]
    return decision_regions(pictures, facts, TITLE, columns=count, figure=figure)


@style.styled
def animate_decisions(
    moments: Sequence[Moment],
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    path: Path | str,
    facts: str = "",
    *,
    fps: int = 5,
) -> Path:
    """Write a GIF that repeats, a frame per moment; the arguments are those of the strip.

    Raises:
        ValueError: no moments.
    """
    if not moments:
        raise ValueError("no moments")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = decision_strip(moments[:1], points, labels, facts)
    (ax,) = figure.axes
    writer = PillowWriter(fps=fps)
    # Pillow goes by the suffix.
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(3)}.partial.gif")
    try:
        with writer.saving(figure, str(partial), dpi=GIF_DPI):
            for moment in moments:
                picture = _picture(moment, points, labels)
                ax.images[0].set_data(predicted(picture, half_side(points)))
                ax.set_title(picture.title)
                writer.grab_frame()
            for _ in range(HOLD - 1):
                writer.grab_frame()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _picture(moment: Moment, points: NDArray[np.float64], labels: NDArray[np.int64]) -> Picture:
    accuracy = float((moment.predict(points) == labels).mean())
    title = f"t = {number(moment.step)}\naccuracy {accuracy:.2f}"
    return Picture(title, moment.predict, points, labels)
