"""A metric over one swept setting: mean and standard error over seeds, static loss beside it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsweep.analysis import grid
from dynsweep.analysis.columns import QUANTITIES, WORDS, mean_column
from dynsweep.config import labels
from dynsweep.figures import layout, style
from dynsweep.figures.panel import MARKS, marked

DYNAMICAL: dict[str, Any] = {
    "color": style.COLOURS[0], "marker": "o", "linestyle": "-", "label": "dynamical loss",
}  # fmt: skip
STATIC: dict[str, Any] = {
    "color": style.INK, "marker": "s", "linestyle": "--", "label": "static loss (A = 1)",
}  # fmt: skip


@style.styled
def line_panels(
    cells: pd.DataFrame, metric: str, x: str, *, figure: Figure | None = None
) -> Figure:
    """Draw the mean of a metric with its standard error over the setting ``x``.

    Arguments are those of :func:`dynsweep.figures.phase_diagram.phase_panels`; the figure's axes
    are the panels, 12 at most.
    """
    settings = grid.line_settings(cells, x)
    parts = grid.split(_placed(cells, metric, x, settings), settings)[: layout.MAX_PANELS]
    figure, axes = layout.panels(
        [title for title, _ in parts], *_axis_labels(cells, metric, x), figure=figure
    )
    style.title(figure, layout.headline(metric), layout.facts(cells, metric))
    _draw(axes, [rows for _, rows in parts], x)
    layout.legend(figure)
    return figure


@style.styled
def line_panel(cells: pd.DataFrame, metric: str, x: str, *, ax: Axes | None = None) -> Axes:
    """Draw cells without further swept settings but an amplitude of two values, one static."""
    ax = ax if ax is not None else Figure().subplots()
    layout.constrain(ax)
    xlabel, ylabel = _axis_labels(cells, metric, x)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_title(layout.headline(metric), loc="left", fontweight="bold")
    _draw([ax], [_placed(cells, metric, x, [])], x)
    ax.legend()
    return ax


def _axis_labels(cells: pd.DataFrame, metric: str, x: str) -> tuple[str, str]:
    over_seeds = ", mean ± s.e." if cells["seeds"].max() > 1 else ""
    return labels.axis_label(x, cells["model"].iloc[0]), WORDS[metric] + over_seeds


def _placed(cells: pd.DataFrame, metric: str, x: str, settings: list[str]) -> pd.DataFrame:
    """The cells that are drawn; whatever is drawn of them has two names."""
    table = grid.placed(cells, settings, [x])
    return table.assign(
        height=table[mean_column(QUANTITIES[metric])], error=table[f"{QUANTITIES[metric]}_se"]
    )


def _draw(axes: Sequence[Axes], parts: Sequence[pd.DataFrame], x: str) -> None:
    """Lines with common limits and ticks."""
    table = pd.concat(parts)
    scale = grid.scale(table[x])
    error = table["error"].fillna(0)
    low, high = (table["height"] - error).min(), (table["height"] + error).max()
    room = 0.06 * max(high - low, 0.02)
    for ax in axes:
        ax.set(
            xscale="log" if scale.log else "linear", xlim=scale.edges[[0, -1]],
            ylim=(low - room, high + room),
        )  # fmt: skip
    figure: Any = axes[0].figure
    figure.draw_without_rendering()  # axes get their sizes, which ticks go by
    layout.ticks(axes[0], "x", x, scale)
    for ax, rows in zip(axes, parts, strict=True):
        static = rows["amplitude"] == 1
        _draw_line(ax, rows[~static], x, scale, DYNAMICAL)
        _draw_line(ax, rows[static], x, scale, STATIC)


def _draw_line(
    ax: Axes, rows: pd.DataFrame, x: str, scale: grid.Scale, look: dict[str, Any]
) -> None:
    """The line of one kind of loss, and marks where runs failed or diverged."""
    if rows.empty:
        return
    rows = rows.iloc[scale.at(rows[x]).argsort()]
    at, height = scale.at(rows[x]), rows["height"].to_numpy(float)
    error = rows["error"].to_numpy(float)
    if not scale.words:  # between words there is nothing
        ax.fill_between(at, height - error, height + error, color=look["color"], alpha=0.15, lw=0)
    ax.errorbar(at, height, error, markersize=4.5, linewidth=1.4, **look)
    if look is STATIC and x == "amplitude":
        # One point: the level to compare the others with.
        ax.axhline(height[0], color=style.INK, linestyle="--", linewidth=1)
    # At the bottom if there is no value.
    height = rows["height"].fillna(ax.get_ylim()[0]).to_numpy(float)
    for name, flags in marked(rows, "").items():
        bad = flags.to_numpy()
        ax.plot(at[bad], height[bad], zorder=4, clip_on=False, markersize=7.5, **MARKS[name])
