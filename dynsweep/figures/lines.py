"""A metric over one swept setting: mean and standard error over seeds, static loss beside it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynsweep.analysis import grid
from dynsweep.config import labels
from dynsweep.figures import style
from dynsweep.figures.captions import GAIN, headline, metric_label, note
from dynsweep.figures.layout import MAX_PANELS, Layout
from dynsweep.figures.panel import DIVERGED, FAILED, MARKERS, handles

DYNAMICAL, STATIC = "dynamical loss", "static loss (A = 1)"
LINES: dict[str, dict[str, Any]] = {
    DYNAMICAL: {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    STATIC: {"color": style.INK, "marker": "s", "linestyle": "--"},
}


def line_plot(cells: pd.DataFrame, metric: str = "train_accuracy", x: str = "lr") -> Figure:
    """Draw the mean of a metric with its standard error over one setting.

    Args:
        cells: table of :func:`dynsweep.analysis.statistics.cells`; settings first.
        metric: one of the four metrics, or an accuracy followed by ``_gain``.
        x: setting of the horizontal axis, a column of ``cells``.

    Returns:
        The figure; its axes are the panels, 12 at most.
    """
    several = cells.loc[cells["amplitude"] != 1, "amplitude"].nunique() > 1
    panels = grid.panel_settings(cells, [x] if several else [x, "amplitude"])
    table = grid.spread_static(cells, panels).dropna(subset=[x])
    xs = grid.scale(table[x])
    parts = grid.split(table, panels)[:MAX_PANELS]
    layout = Layout(len(parts), bar=False)
    figure, axes, _ = layout.figure()
    column = metric if metric.endswith(GAIN) else f"{metric}_mean"
    error = table[f"{metric}_se"].fillna(0)
    low, high = float((table[column] - error).min()), float((table[column] + error).max())
    room = 0.06 * max(high - low, 0.02)
    lines: dict[str, Line2D] = {}
    seen: set[str] = set()
    for axis, (title, rows) in zip(axes, parts, strict=True):
        axis.set_xscale("log" if xs.log else "linear")
        axis.set_xlim(*xs.edges[[0, -1]])
        axis.set_ylim(low - room, high + room)
        axis.set_title(title, fontsize=layout.tick + 0.5, color=style.INK, pad=4)
        axis.grid(color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=layout.tick, color=style.INK, labelcolor=style.INK)
        layout.ticks(axis, "x", x, xs)
        is_static = rows["amplitude"] == 1
        for kind, part in ((DYNAMICAL, rows[~is_static]), (STATIC, rows[is_static])):
            if not part.empty:
                lines[kind] = _line(axis, part.sort_values(x), metric, column, x, xs, kind)
                seen |= _mark(axis, part, column, x, xs)
    errors = ", mean ± s.e." if cells["seeds"].max() > 1 else ""
    layout.label(labels.axis_label(x, table["model"].iloc[0]), metric_label(metric) + errors)
    entries = [*(lines.values() if STATIC in lines else ()), *handles(seen)]
    layout.finish(*headline(cells, metric), entries, note(cells, metric))
    return figure


def _line(
    axis: Axes, rows: pd.DataFrame, metric: str, column: str, x: str, xs: grid.Scale, kind: str
) -> Line2D:
    """Draw one kind of loss; returns its legend entry."""
    look = LINES[kind]
    axis.errorbar(
        xs.at(rows[x]),
        rows[column].to_numpy(float),
        rows[f"{metric}_se"].to_numpy(float),
        markersize=4.5,
        capsize=2.5,
        linewidth=1.4,
        **look,
    )
    if kind == STATIC and x == "amplitude":
        # One point: the level to compare the others with.
        level = float(rows[column].iloc[0])
        axis.axhline(level, color=look["color"], linestyle=look["linestyle"], linewidth=1)
    return Line2D([], [], label=kind, **look)


def _mark(axis: Axes, rows: pd.DataFrame, column: str, x: str, xs: grid.Scale) -> set[str]:
    """Marks where runs failed or diverged, at the bottom if there is no value."""
    seen = set()
    heights = rows[column].fillna(axis.get_ylim()[0]).to_numpy(float)
    for status in (FAILED, DIVERGED):
        bad = (rows[status] > 0).to_numpy()
        if bad.any():
            seen.add(status)
            at = xs.at(rows[x])[bad], heights[bad]
            axis.scatter(*at, s=60, linewidth=0.8, zorder=4, clip_on=False, **MARKERS[status])
    return seen
