"""Decision regions of one run at several times: a strip of panels, and an animation."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dynsweep.analysis.decisions import Predict, half_side
from dynsweep.config.labels import number
from dynsweep.figures import style
from dynsweep.figures.decision_regions import Picture, decision_regions

MOST = 8  # panels of a strip
GIF_DPI = 100
HOLD = 5  # the last frame stays as long as this many


def snapshot(
    step: int, predict: Predict, points: NDArray[np.float64], labels: NDArray[np.int64]
) -> Picture:
    """The model after ``step`` steps, its step and accuracy as the title; see :class:`Picture`."""
    accuracy = float((predict(points) == labels).mean())
    return Picture(f"t = {number(step)}\naccuracy {accuracy:.2f}", predict, points, labels)


def decision_strip(
    snapshots: Sequence[Picture], facts: str = "", *, figure: Figure | None = None
) -> Figure:
    """Draw one row of panels, in the order given.

    Args:
        snapshots: what to show, 1 to 8.
        facts: the run's settings.
        figure: an empty one to draw in.

    Raises:
        ValueError: no snapshots, or too many.
    """
    count = len(snapshots)
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} snapshots: a strip has 1 to {MOST}")
    title = "Decision regions, training accuracy"
    return decision_regions(snapshots, facts, title, columns=count, figure=figure)


@style.styled
def save_animation(
    snapshots: Sequence[Picture], path: Path | str, facts: str = "", *, fps: int = 5
) -> Path:
    """Write a GIF that repeats, a frame per snapshot, whole or not at all.

    Raises:
        ValueError: no snapshots.
    """
    figure = decision_strip(snapshots[:1], facts)
    (ax,) = figure.axes
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = PillowWriter(fps=fps)
    # Pillow goes by the suffix.
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(3)}.partial.gif")
    try:
        with writer.saving(figure, str(partial), dpi=GIF_DPI):
            for picture in snapshots:
                ax.images[0].set_data(picture.predicted(half_side(picture.points)))
                ax.set_title(picture.title)
                writer.grab_frame()
            for _ in range(HOLD - 1):
                writer.grab_frame()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
