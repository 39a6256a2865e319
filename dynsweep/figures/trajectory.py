"""One run in time, after the paper's figure 4: weights, loss, accuracy and curvature."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dynsweep.config import labels
from dynsweep.figures import style
from dynsweep.metrics import METRICS, PARTS

MOST_CYCLES = 40  # marked by lines
MOST_LINES = 7  # of a legend beside a row
MANY = 5000  # points: pixels instead of lines in a PDF


class Row(NamedTuple):
    """One row of panels: its axis label, and the columns it shows with their legend's texts."""

    label: str
    curves: dict[str, str]


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
    run = run.sort_values("step").dropna(axis="columns", how="all")
    whole = (float(run["step"].iloc[0]), float(run["step"].iloc[-1]))
    spans = [whole, zoom] if zoom else [whole]
    figure = figure or Figure(figsize=(3.9 * len(spans) + 2.4, 1.3 * len(rows) + 1.1))
    axes = figure.subplots(len(rows), len(spans), sharex="col", squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        for span, ax in zip(spans, line, strict=True):
            _draw_row(ax, run[run["step"].between(*span)], row.curves, lr)
            if period and (span[1] - span[0]) / period <= MOST_CYCLES:
                for start in np.arange(np.ceil(span[0] / period) * period, span[1] + 1, period):
                    ax.axvline(start, color="0.75", linewidth=0.6, zorder=0.5)
            if zoom and span is whole:
                ax.axvspan(*zoom, color="0.88", linewidth=0, zorder=0)
        line[0].set_ylabel(row.label, fontsize="medium")
        handles, texts = line[0].get_legend_handles_labels()
        if handles:
            columns = -(-len(texts) // MOST_LINES)
            line[-1].legend(
                handles, texts, loc="center left", bbox_to_anchor=(1.01, 0.5), ncols=columns
            )
    figure.align_ylabels(axes[:, 0])
    for span, ax in zip(spans, axes[-1], strict=True):
        ax.set(xlim=span, xlabel="time t (steps)")
    return style.title(figure, "Training in time", facts)


def present(run: pd.DataFrame) -> list[Row]:
    """The rows, from the top, of which something was recorded."""
    classes = range(sum(str(name).removeprefix("weight_").isdigit() for name in run))
    hessian = {"sharpness": "of F(t)", "static_sharpness": "of the static loss"}
    rows = [
        Row("class weight\n$G_i(t)$", {f"weight_{i}": f"class {i}" for i in classes}),
        Row("loss\n$F(W_t, t)$", {"loss": "_"}),
        Row("change of loss\n$F(t) - F(t-1)$", {"loss_change": "_"}),
        *(
            Row(
                "static loss" if name == "loss" else metric.words,
                {f"{part}_{name}": words for part, words in PARTS.items()},
            )
            for name, metric in METRICS.items()
        ),
        Row(
            "training accuracy\nof each class",
            {f"train_accuracy_{i}": f"class {i}" for i in classes},
        ),
        Row("largest Hessian\neigenvalue", hessian),
        Row("largest NTK\neigenvalue", {"ntk": "_"}),
    ]
    recorded = set(run.columns[run.notna().any()])
    return [row for row in rows if not recorded.isdisjoint(row.curves)]


def broken(
    step: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A series with NaN put where neighbours are over three times further apart than most."""
    apart = np.diff(step)
    if not len(apart):
        return step, values
    holes = np.flatnonzero(apart > 3 * np.median(apart)) + 1
    return np.insert(step, holes, np.nan), np.insert(values, holes, np.nan)


def _draw_row(ax: Axes, shown: pd.DataFrame, curves: dict[str, str], lr: float) -> None:
    if "loss_change" in curves:
        ax.axhline(0, color="0.6", linewidth=0.6)
    for index, (column, text) in enumerate(curves.items()):
        if column not in shown:
            continue
        part = shown[["step", column]].dropna()
        if "sharpness" in curves:
            part = part[part[column] > 0]
        x, y = part["step"].to_numpy(float), part[column].to_numpy(float)
        if column == "loss_change":
            x, y = broken(x, y)
        # Class weights coincide most of the time: later ones are thinner.
        wider = min(0.8, 3 / len(curves)) if column.startswith("weight_") else 0
        colour, _, dashes = style.look(index)
        ax.plot(
            x, y, color=colour, linestyle=dashes, label=text, rasterized=len(x) > MANY,
            linewidth=0.9 + wider * (len(curves) - 1 - index),
        )  # fmt: skip
    if "sharpness" in curves:
        label = f"2/lr = {labels.number(2 / lr)}"
        ax.axhline(2 / lr, color=style.INK, linewidth=1, linestyle="--", label=label)
        ax.set_yscale("log")
        style.round_ticks(ax.yaxis)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
