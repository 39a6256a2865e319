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

from dynsweep.config.labels import number
from dynsweep.figures import style
from dynsweep.figures.decision_regions import (
    Picture,
    class_handles,
    draw_regions,
    half_side,
    predicted,
)

LEFT, RIGHT, BETWEEN, TOP, BOTTOM = 0.65, 0.15, 0.1, 1.02, 0.75  # inches
SIDE, MOST = 1.9, 8  # inches of a panel; panels
LONE = 3.6  # inches of a panel alone
GIF_DPI = 100
HOLD = 5  # the last frame stays as long as this many

Predict = Callable[[NDArray[np.float64]], NDArray[np.int64]]


@dataclass(frozen=True)
class Moment:
    """The model after ``step`` steps: classes of points, ``(points, 2) -> (points,)``; -1 where
    there is none."""

    step: int
    predict: Predict


def draw_decision_strip(
    moments: Sequence[Moment],
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    path_stem: Path | str,
    title: str,
) -> list[Path]:
    """Write :func:`decision_strip` as PNG and PDF; returns the two paths."""
    return style.save_all(decision_strip(moments, points, labels, title), path_stem)


def decision_strip(
    moments: Sequence[Moment], points: NDArray[np.float64], labels: NDArray[np.int64], title: str
) -> Figure:
    """Draw one row of panels, in the order given.

    Args:
        moments: what to show, 1 to 8.
        points: training inputs ``(samples, 2)``.
        labels: their classes ``(samples,)``.
        title: the run's settings.
    """
    count = len(moments)
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} moments: a strip has 1 to {MOST}")
    side = (
        LONE
        if count == 1
        else min(SIDE, (style.WIDEST - LEFT - RIGHT + BETWEEN) / count - BETWEEN)
    )
    figure = _panels(count, side)
    for index, (axis, moment) in enumerate(zip(figure.axes, moments, strict=True)):
        picture = _picture(moment, points, labels)
        draw_regions(axis, picture, half_side(points), _classes(labels), 7 * side / SIDE)
        tick = style.SMALL
        axis.set_title(picture.title, fontsize=tick, color=style.INK, pad=4)
        axis.tick_params(labelsize=tick, labelleft=index == 0)
    _surround(figure, labels, title)
    return figure


def animate_decisions(
    moments: Sequence[Moment],
    points: NDArray[np.float64],
    labels: NDArray[np.int64],
    path: Path | str,
    title: str,
    *,
    fps: int = 5,
) -> Path:
    """Write a GIF that repeats, a frame per moment; the arguments are those of the strip."""
    if not moments:
        raise ValueError("no moments")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = _panels(1, LONE)
    axis, extent = figure.axes[0], half_side(points)
    first = _picture(moments[0], points, labels)
    image = draw_regions(axis, first, extent, _classes(labels), 12)
    _surround(figure, labels, title)
    writer = PillowWriter(fps=fps)
    # Pillow goes by the suffix.
    partial = path.with_name(f".{path.stem}.{secrets.token_hex(3)}.partial.gif")
    try:
        with writer.saving(figure, str(partial), dpi=GIF_DPI):
            for moment in moments:
                picture = _picture(moment, points, labels)
                image.set_data(predicted(picture, extent))
                axis.set_title(picture.title, fontsize=style.TICK, color=style.INK, pad=4)
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


def _classes(labels: NDArray[np.int64]) -> int:
    return int(labels.max()) + 1


def _panels(count: int, side: float) -> Figure:
    """Square panels beside each other, ``side`` inches each."""
    width = LEFT + count * side + (count - 1) * BETWEEN + RIGHT
    height = TOP + side + BOTTOM
    figure = Figure(figsize=(width, height))
    for index in range(count):
        left = LEFT + index * (side + BETWEEN)
        place = (left / width, BOTTOM / height, side / width, side / height)
        axis = figure.add_axes(place, label=str(index))
        for spine in axis.spines.values():
            spine.set(linewidth=0.6, color=style.INK)
        axis.tick_params(labelsize=style.TICK, color=style.INK, labelcolor=style.INK)
        axis.set_xlabel("$x_1$", fontsize=style.LABEL, color=style.INK, labelpad=1)
    figure.axes[0].set_ylabel("$x_2$", fontsize=style.LABEL, color=style.INK, labelpad=1)
    return figure


def _surround(figure: Figure, labels: NDArray[np.int64], title: str) -> None:
    """Titles above, classes below."""
    width, height = figure.get_size_inches()
    handles = class_handles(_classes(labels))
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=((LEFT - 0.1) / width, 0.08 / height),
        ncols=min(len(handles), max(1, int(width / 0.9))), frameon=False, fontsize=style.TICK,
        borderaxespad=0, borderpad=0, handletextpad=0.2, columnspacing=1, labelcolor=style.INK,
    )  # fmt: skip
    style.title(figure, LEFT, "Decision regions, training accuracy", title)
