"""Phase diagrams: a metric over two swept settings, with further settings as panels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from dynsweep.analysis import grid
from dynsweep.config import CIFAR10Config, labels
from dynsweep.figures import style
from dynsweep.figures.captions import GAIN, headline, metric_label, note
from dynsweep.figures.layout import MAX_PANELS, Layout, round_ticks
from dynsweep.figures.panel import Panel, handles


def phase_diagram(
    cells: pd.DataFrame,
    metric: str = "train_accuracy",
    x: str = "period",
    y: str = "amplitude",
    *,
    figure: Figure | None = None,
) -> Figure:
    """Draw the mean of a metric over seeds as coloured cells at their true positions.

    Args:
        cells: table of :func:`dynsweep.analysis.statistics.cells`; settings first.
        metric: one of the four metrics, or an accuracy followed by ``_gain``.
        x: setting of the horizontal axis, a column of ``cells``.
        y: setting of the vertical axis.
        figure: an empty one to draw in.

    Returns:
        The figure; its last axes are the colour bar, those before it the panels (the first 12,
        if there are more). ``collections[0]`` of a panel is its mesh, masked where there is no
        such cell; if only few cells of the grid exist, the cells as points.
    """
    panels = grid.panel_settings(cells, [x, y])
    others = ""
    if grid.is_search(cells, panels):
        others = f" Cells differ also in {', '.join(panels)}."
        panels = []
    table = grid.spread_static(cells, panels).dropna(subset=[x, y])
    if metric.endswith(GAIN) and "amplitude" in panels:
        table = table[table["amplitude"] != 1]  # a panel of zeros
    xs, ys = grid.scale(table[x]), grid.scale(table[y])
    parts = grid.split(table, panels)[:MAX_PANELS]
    layout = Layout(len(parts))
    figure, axes, bar = layout.figure(figure)
    column = _column(metric)
    norm, colours, arrow, limits = _colours(table, metric)
    seen: set[str] = set()
    for axis, (title, rows) in zip(axes, parts, strict=True):
        panel = Panel(axis, rows, x, y, xs, ys, layout, seen)
        mesh = _draw(panel, column, norm, colours)
        axis.set_title(title, fontsize=layout.tick + 0.5, color=style.INK, pad=4)
    model = table["model"].iloc[0]
    layout.label(labels.axis_label(x, model), labels.axis_label(y, model))
    colour_bar = figure.colorbar(mesh, cax=bar, extend=arrow)
    _finish_bar(colour_bar, norm, metric, limits, layout)
    layout.finish(*headline(cells, metric), handles(seen), (note(cells, metric) + others).strip())
    return figure


def phase_diagram_on(
    axis: Axes, cells: pd.DataFrame, metric: str, x: str = "period", y: str = "amplitude"
) -> None:
    """Draw the one panel of cells without further swept settings, and its colour bar, into axes
    of somebody's own figure.

    The title names the metric alone, and marks are explained below; the rest as in
    :func:`phase_diagram`.
    """
    table = grid.spread_static(cells, []).dropna(subset=[x, y])
    xs, ys = grid.scale(table[x]), grid.scale(table[y])
    column, (norm, colours, arrow, limits) = _column(metric), _colours(table, metric)
    # The bar before the panel: it takes some of the room that decides which numbers fit.
    bar = axis.figure.colorbar(ScalarMappable(norm, colours), ax=axis, extend=arrow)
    layout = Layout(1)
    box, dpi = axis.get_window_extent(), axis.figure.dpi
    layout.size = (box.width / dpi, box.height / dpi)
    layout.height = layout.size[1]
    layout.axes, layout.tick = [axis], style.SMALL
    panel = Panel(axis, table, x, y, xs, ys, layout)
    _draw(panel, column, norm, colours)
    model = table["model"].iloc[0]
    layout.label(labels.axis_label(x, model), labels.axis_label(y, model))
    _finish_bar(bar, norm, metric, limits, layout)
    axis.set_title(
        headline(cells, metric)[0],
        loc="left", fontsize=style.LABEL, fontweight="bold", color=style.INK,
    )  # fmt: skip
    if marks := handles(panel.seen):
        axis.legend(
            handles=marks, loc="upper left", frameon=False, fontsize=style.SMALL,
            bbox_to_anchor=(0, -layout.bottom / layout.height), borderaxespad=0, borderpad=0,
            labelcolor=style.INK,
        )  # fmt: skip


def _column(metric: str) -> str:
    return metric if metric.endswith(GAIN) else f"{metric}_mean"


def _draw(panel: Panel, column: str, norm: Normalize, colours: str) -> Any:
    """The cells and the ticks; returns what the colour bar is made from."""
    mesh = panel.draw(column, norm, colours)
    layout = panel.layout
    panel.axis.tick_params(labelsize=layout.tick, color=style.INK, labelcolor=style.INK)
    for which, name, scale in (("x", panel.x, panel.xs), ("y", panel.y, panel.ys)):
        layout.ticks(panel.axis, which, name, scale, plain=panel.sparse)
    return mesh


def _finish_bar(bar: Colorbar, norm: Normalize, metric: str, limits: str, layout: Layout) -> None:
    """Its ticks and its label."""
    if isinstance(norm, LogNorm):
        round_ticks(bar.ax.yaxis, float(norm.vmin or 0), float(norm.vmax or 1))
    bar.ax.tick_params(which="both", labelsize=layout.tick, color=style.INK, labelcolor=style.INK)
    label = metric_label(metric) + (" " if layout.height > 4 or not limits else "\n") + limits
    bar.set_label(label, fontsize=style.LABEL, color=style.INK)


def _colours(table: pd.DataFrame, metric: str) -> tuple[Normalize, str, Any, str]:
    """Limits, colour map, which end of the bar has an arrow, and what to say of the limits."""
    values = table[_column(metric)].to_numpy(float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if metric.endswith(GAIN):
        limit = max(np.ceil(max(-low, high) * 20 - 1e-9) / 20, 0.05)
        return Normalize(-limit, limit), style.DIVERGING, "neither", "over the static loss"
    if not metric.endswith("accuracy"):
        if 0 < low < high / 10:
            return LogNorm(low, high), style.SEQUENTIAL, "neither", "(log scale)"
        return Normalize(low, high if high > low else low + 1), style.SEQUENTIAL, "neither", ""
    classes = _classes(table)
    bottom, told = (0.0, "") if np.isnan(classes) else (1 / classes, "chance, ")
    # From chance, so that figures compare; from the data where all would be one colour.
    sound = values[values >= bottom]
    if len(sound) and 1 - sound.min() < 0.4 * (1 - bottom):
        bottom, told = max(bottom, np.floor(sound.min() * 20 - 1e-9) / 20), ""
    arrow = "min" if low < bottom - 1e-9 else "neither"
    limits = f"(colours from {told}{bottom:.2f} to 1)"
    return Normalize(bottom, 1), style.SEQUENTIAL, arrow, limits


def _classes(table: pd.DataFrame) -> float:
    """The most classes of a cell's dataset; nan where it is not known."""
    swept = table.get("dataset.classes", pd.Series(dtype=float)).dropna().tolist()
    fixed = (
        [CIFAR10Config.classes] if "cifar10" in table.get("dataset", pd.Series()).tolist() else []
    )
    return float(max([*swept, *fixed], default=np.nan))
