"""A metric over one swept setting: mean and standard error over seeds, static loss beside it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynsweep.analysis import grid
from dynsweep.config import labels
from dynsweep.figures import captions, layout, marks, style

DYNAMICAL: dict[str, Any] = {
    "color": style.COLOURS[0], "marker": "o", "linestyle": "-", "label": "dynamical loss",
}  # fmt: skip
STATIC: dict[str, Any] = {
    "color": style.INK, "marker": "s", "linestyle": "--", "label": "static loss (A = 1)",
}  # fmt: skip


@style.styled
def line_panels(
    cells: pd.DataFrame,
    metric: str = "train_accuracy",
    x: str = "lr",
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw the mean of a metric with its standard error over one setting.

    Args:
        cells: table of :func:`dynsweep.analysis.statistics.cells`; settings first.
        metric: one of the four metrics, or ``gain_`` and an accuracy.
        x: setting of the horizontal axis, a column of ``cells``.
        figure: an empty one to draw in.

    Returns:
        The figure; its axes are the panels, 12 at most.
    """
    several = cells.loc[cells["amplitude"] != 1, "amplitude"].nunique() > 1
    settings = grid.panel_settings(cells, [x] if several else [x, "amplitude"])
    table = grid.spread_static(cells, settings).dropna(subset=[x])
    scale = grid.scale(table[x])
    parts = grid.split(table, settings)[: layout.MAX_PANELS]
    over_seeds = ", mean ± s.e." if cells["seeds"].max() > 1 else ""
    figure, axes = layout.panels(
        [title for title, _ in parts],
        labels.axis_label(x, table["model"].iloc[0]),
        captions.metric_label(metric) + over_seeds,
        figure=figure,
    )
    column, error = captions.column(metric), table[captions.error_column(metric)].fillna(0)
    low, high = float((table[column] - error).min()), float((table[column] + error).max())
    room = 0.06 * max(high - low, 0.02)
    style.title(figure, captions.headline(metric), captions.facts(cells, metric))
    layout.arrange(figure)
    # Limits are common to all panels.
    axes[0].set(xscale="log" if scale.log else "linear", xlim=scale.edges[[0, -1]])
    axes[0].set_ylim(low - room, high + room)
    layout.ticks(axes[0], "x", x, scale)
    for ax, (_, rows) in zip(axes, parts, strict=True):
        for look, part in _by_loss(rows):
            _draw_line(ax, part.sort_values(x), metric, x, scale, look)
    lines: list[Artist] = []
    if (table["amplitude"] == 1).any():
        lines = [Line2D([], [], **look) for look, _ in _by_loss(table)]
    layout.legend(figure, [*lines, *marks.handles(_statuses(table))])
    return figure


def _by_loss(cells: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The cells of the dynamical and of the static loss, each with the look of its line."""
    static = cells["amplitude"] == 1
    parts = [(DYNAMICAL, cells[~static]), (STATIC, cells[static])]
    return [(look, part) for look, part in parts if not part.empty]


def _statuses(cells: pd.DataFrame) -> dict[str, pd.Series]:
    """Which cells have failed and diverged runs."""
    return marks.marked(cells, "")


def _draw_line(
    ax: Axes, rows: pd.DataFrame, metric: str, x: str, scale: grid.Scale, look: dict[str, Any]
) -> None:
    """The line of one kind of loss, and marks where runs failed or diverged."""
    heights = rows[captions.column(metric)]
    errors = rows[captions.error_column(metric)].to_numpy(float)
    at = scale.at(rows[x])
    ax.errorbar(at, heights.to_numpy(float), errors, markersize=4.5, linewidth=1.4, **look)
    if look is STATIC and x == "amplitude":
        # One point: the level to compare the others with.
        ax.axhline(float(heights.iloc[0]), color=style.INK, linestyle="--", linewidth=1)
    # At the bottom if there is no value.
    heights = heights.fillna(ax.get_ylim()[0])
    for name, flags in _statuses(rows).items():
        bad = flags.to_numpy()
        style_of_mark = marks.MARKS[name] | {"markersize": 7.5}
        ax.plot(at[bad], heights[bad], zorder=4, clip_on=False, **style_of_mark)
