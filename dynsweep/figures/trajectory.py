"""One run in time, after the paper's figure 4: weights, loss, accuracy and curvature."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dynsweep.config import labels
from dynsweep.figures import style

MOST_CYCLES = 40  # marked by lines
MANY = 5000  # points: pixels instead of lines in a PDF
BLUE, ORANGE = style.COLOURS[:2]


@dataclass(frozen=True)
class Curve:
    """One column in a row of panels; no text, no legend entry."""

    column: str
    colour: str
    text: str = ""
    linewidth: float = 0.9


@dataclass(frozen=True)
class Row:
    """One row of panels: its axis label, and what it shows."""

    label: str
    curves: tuple[Curve, ...]
    change: bool = False  # around zero; neighbours far apart are not joined
    curvature: bool = False  # on a log axis, with its threshold


@style.styled
def trajectory(
    run: pd.DataFrame,
    lr: float,
    facts: str = "",
    zoom: tuple[float, float] | None = None,
    *,
    period: float | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw a run: rows share the time, the left column shows all of it, the right one ``zoom``.

    Args:
        run: a row per recorded step: ``step`` and what else was recorded, NaN where it was not;
            rows of absent columns are left out.
        lr: learning rate; 2 / lr is the threshold of the largest Hessian eigenvalue.
        facts: the run's settings.
        zoom: first and last step of the right column; without it there is one column.
        period: T in steps; starts of cycles are marked where there is room.
        figure: an empty one to draw in.

    Raises:
        ValueError: nothing was recorded that could be drawn.
    """
    rows = present(run)
    if not rows:
        raise ValueError("nothing recorded that could be drawn")
    run = run.sort_values("step")
    whole = (float(run["step"].iloc[0]), float(run["step"].iloc[-1]))
    spans = [whole, zoom] if zoom else [whole]
    figure = figure or Figure(figsize=(3.9 * len(spans) + 2.4, 1.3 * len(rows) + 1.1))
    axes = figure.subplots(len(rows), len(spans), sharex="col", squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        for span, ax in zip(spans, line, strict=True):
            _draw_row(ax, run, row, span, lr)
            _draw_cycles(ax, span, period)
            if zoom and span is whole:
                ax.axvspan(*zoom, color="0.88", linewidth=0, zorder=0)
        line[0].set_ylabel(row.label, fontsize="medium")
        handles, texts = line[0].get_legend_handles_labels()
        if handles:
            line[-1].legend(handles, texts, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.align_ylabels(axes[:, 0])
    for span, ax in zip(spans, axes[-1], strict=True):
        ax.set(xlim=span, xlabel="time t (steps)")
    return style.title(figure, "Training in time", facts)


def present(run: pd.DataFrame) -> list[Row]:
    """The rows, from the top, of which something was recorded."""
    classes = sum(str(name).removeprefix("weight_").isdigit() for name in run)
    weights = [
        # Weights coincide most of the time: later ones are thinner.
        Curve(f"weight_{i}", style.COLOURS[i % 8], f"class {i}", 0.9 + 0.8 * (classes - 1 - i))
        for i in range(classes)
    ]
    accuracies = (
        Curve("train_accuracy", BLUE, "training"),
        Curve("validation_accuracy", ORANGE, "validation"),
    )
    by_class = [
        Curve(f"train_accuracy_{i}", style.COLOURS[i % 8], f"class {i}") for i in range(classes)
    ]
    hessian = (
        Curve("sharpness", BLUE, "of F(t)"),
        Curve("static_sharpness", ORANGE, "of the static loss"),
    )
    rows = [
        Row("class weight\n$G_i(t)$", tuple(weights)),
        Row("loss\n$F(W_t, t)$", (Curve("loss", BLUE),)),
        Row("change of loss\n$F(t) - F(t-1)$", (Curve("loss_change", BLUE),), change=True),
        Row("accuracy", accuracies),
        Row("training accuracy\nof each class", tuple(by_class)),
        Row("largest Hessian\neigenvalue", hessian, curvature=True),
        Row("largest NTK\neigenvalue", (Curve("ntk", BLUE),)),
    ]
    recorded = {str(name) for name in run.columns[run.notna().any()]}
    kept = [replace(r, curves=tuple(c for c in r.curves if c.column in recorded)) for r in rows]
    return [row for row in kept if row.curves]


def broken(
    step: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A series with NaN put where neighbours are over three times further apart than most."""
    apart = np.diff(step)
    if not len(apart):
        return step, values
    holes = np.flatnonzero(apart > 3 * np.median(apart)) + 1
    return np.insert(step, holes, np.nan), np.insert(values, holes, np.nan)


def _draw_row(ax: Axes, run: pd.DataFrame, row: Row, span: tuple[float, float], lr: float) -> None:
    shown = run[run["step"].between(*span)]
    if row.change:
        ax.axhline(0, color="0.6", linewidth=0.6)
    for curve in row.curves:
        part = shown[["step", curve.column]].dropna()
        if row.curvature:
            part = part[part[curve.column] > 0]
        x, y = part["step"].to_numpy(float), part[curve.column].to_numpy(float)
        if row.change:
            x, y = broken(x, y)
        ax.plot(
            x, y, color=curve.colour, linewidth=curve.linewidth, label=curve.text or "_",
            rasterized=len(x) > MANY,
        )  # fmt: skip
    if row.curvature:
        label = f"2/lr = {labels.number(2 / lr)}"
        ax.axhline(2 / lr, color=style.INK, linewidth=1, linestyle="--", label=label)
        ax.set_yscale("log")
        style.round_ticks(ax.yaxis)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))


def _draw_cycles(ax: Axes, span: tuple[float, float], period: float | None) -> None:
    """Thin lines where a cycle starts."""
    if period and (span[1] - span[0]) / period <= MOST_CYCLES:
        for start in np.arange(np.ceil(span[0] / period) * period, span[1] + 1, period):
            ax.axvline(start, color="0.75", linewidth=0.6, zorder=0.5)
