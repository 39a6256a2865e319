"""One run in time, after the paper's figure 4: weights, loss, accuracy and curvature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from dynsweep.config import labels
from dynsweep.figures import style

HEIGHT, WIDTH = 1.2, 3.65  # of a panel, inches
LEFT, RIGHT, BETWEEN, TOP, BOTTOM, GAP = 1.0, 1.45, 0.55, 0.68, 0.5, 0.14
MOST_CYCLES = 40  # marked by lines
MANY = 5000  # points: pixels instead of lines in a PDF
BLUE, ORANGE, GREEN = style.CLASSES[:3]


@dataclass(frozen=True)
class Curve:
    """One column of the frame in a row of panels; no text, no legend entry."""

    column: str
    colour: str
    text: str = ""
    linewidth: float = 0.9


@dataclass(frozen=True)
class Row:
    """One row of panels: its axis label, and what it shows."""

    label: str
    curves: tuple[Curve, ...]
    log: bool = False
    gaps: bool = False  # shown as such: neighbours far apart are not joined
    threshold: bool = False
    zero: bool = False


def draw_trajectory(
    frame: pd.DataFrame,
    path_stem: Path | str,
    lr: float,
    title: str,
    zoom: tuple[float, float] | None = None,
    *,
    period: float | None = None,
) -> list[Path]:
    """Write :func:`trajectory` as PNG and PDF; returns the two paths."""
    return style.save_all(trajectory(frame, lr, title, zoom, period=period), path_stem)


def trajectory(
    frame: pd.DataFrame,
    lr: float,
    title: str,
    zoom: tuple[float, float] | None = None,
    *,
    period: float | None = None,
) -> Figure:
    """Draw a run: rows share the time, the left column shows all of it, the right one ``zoom``.

    Args:
        frame: a row per recorded step of one run: ``step`` and what else was recorded, NaN where
            it was not; rows of absent columns are left out.
        lr: learning rate; 2 / lr is the threshold of the largest Hessian eigenvalue.
        title: the run's settings.
        zoom: first and last step of the right column; without it there is one column.
        period: T in steps; starts of cycles are marked where there is room.
    """
    rows = present(frame)
    if not rows:
        raise ValueError("nothing recorded that could be drawn")
    frame = frame.sort_values("step")
    whole = (float(frame["step"].iloc[0]), float(frame["step"].iloc[-1]))
    spans = [whole, zoom] if zoom else [whole]
    width = LEFT + len(spans) * WIDTH + (len(spans) - 1) * BETWEEN + RIGHT
    height = TOP + len(rows) * HEIGHT + (len(rows) - 1) * GAP + BOTTOM
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(len(rows), len(spans), sharex="col", squeeze=False)
    figure.subplots_adjust(
        LEFT / width, BOTTOM / height, 1 - RIGHT / width, 1 - TOP / height,
        wspace=BETWEEN / WIDTH, hspace=GAP / HEIGHT,
    )  # fmt: skip
    for row, line in zip(rows, axes, strict=True):
        for span, axis in zip(spans, line, strict=True):
            _panel(axis, frame, row, span, lr)
            _cycles(axis, span, period)
            if zoom and span is whole:
                axis.axvspan(*zoom, color="0.88", linewidth=0, zorder=0)
        line[0].set_ylabel(row.label, fontsize=style.TICK, color=style.INK)
        handles = [h for h in line[0].get_lines() if not h.get_label().startswith("_")]
        line[-1].legend(
            handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False,
            fontsize=style.TICK, labelcolor=style.INK, handlelength=1.4,
        )  # fmt: skip
    figure.align_ylabels(axes[:, 0])
    for span, axis in zip(spans, axes[-1], strict=True):
        axis.set_xlim(*span)
        axis.set_xlabel("time t (steps)", fontsize=style.LABEL, color=style.INK)
    style.title(figure, LEFT, "Training in time", title)
    return figure


def present(frame: pd.DataFrame) -> list[Row]:
    """The rows, from the top, of which something was recorded."""
    classes = sum(str(name).removeprefix("weight_").isdigit() for name in frame)
    weights = [
        # Weights coincide most of the time: later ones are thinner.
        Curve(f"weight_{i}", style.CLASSES[i % 8], f"class {i}", 0.9 + 0.8 * (classes - 1 - i))
        for i in range(classes)
    ]
    accuracies = (
        Curve("train_accuracy", BLUE, "training"),
        Curve("validation_accuracy", ORANGE, "validation"),
    )
    by_class = [
        Curve(f"train_accuracy_{i}", style.CLASSES[i % 8], f"class {i}") for i in range(classes)
    ]
    hessian = (
        Curve("sharpness", BLUE, "of F(t)"),
        Curve("static_sharpness", ORANGE, "of the static loss"),
    )
    rows = [
        Row("class weight\n$G_i(t)$", tuple(weights)),
        Row("loss\n$F(W_t, t)$", (Curve("loss", BLUE),)),
        Row(
            "change of loss\n$F(t) - F(t-1)$", (Curve("loss_change", BLUE),), gaps=True, zero=True
        ),
        Row("accuracy", accuracies),
        Row("training accuracy\nof each class", tuple(by_class)),
        Row("largest Hessian\neigenvalue", hessian, log=True, threshold=True),
        Row("largest NTK\neigenvalue", (Curve("ntk", BLUE),)),
    ]
    found = []
    for row in rows:
        curves = tuple(
            c for c in row.curves if c.column in frame and frame[c.column].notna().any()
        )
        if curves:
            found.append(Row(row.label, curves, row.log, row.gaps, row.threshold, row.zero))
    return found


def broken(
    step: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A series with NaN put where neighbours are over three times further apart than most."""
    apart = np.diff(step)
    if not len(apart):
        return step, values
    holes = np.flatnonzero(apart > 3 * np.median(apart)) + 1
    return np.insert(step, holes, np.nan), np.insert(values, holes, np.nan)


def _panel(
    axis: Axes, frame: pd.DataFrame, row: Row, span: tuple[float, float], lr: float
) -> None:
    style.plain_axes(axis)
    shown = frame[frame["step"].between(*span)]
    if row.zero:
        axis.axhline(0, color="0.6", linewidth=0.6)
    for curve in row.curves:
        part = shown[["step", curve.column]].dropna()
        if row.log:
            part = part[part[curve.column] > 0]
        x, y = part["step"].to_numpy(float), part[curve.column].to_numpy(float)
        if row.gaps:
            x, y = broken(x, y)
        axis.plot(
            x, y, color=curve.colour, linewidth=curve.linewidth, label=curve.text or "_",
            rasterized=len(x) > MANY,
        )  # fmt: skip
    if row.threshold:
        label = f"2/lr = {labels.number(2 / lr)}"
        axis.axhline(2 / lr, color=style.INK, linewidth=1, linestyle="--", label=label)
    if row.log:
        axis.set_yscale("log")
        _log_ticks(axis)
    else:
        axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))


def _log_ticks(axis: Axes) -> None:
    from dynsweep.figures.layout import round_ticks

    low, high = axis.get_ylim()
    round_ticks(axis.yaxis, low, high)
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(low, high)


def _cycles(axis: Axes, span: tuple[float, float], period: float | None) -> None:
    """Thin lines where a cycle starts."""
    if period and (span[1] - span[0]) / period <= MOST_CYCLES:
        for start in np.arange(np.ceil(span[0] / period) * period, span[1] + 1, period):
            axis.axvline(start, color="0.75", linewidth=0.6, zorder=0.5)
