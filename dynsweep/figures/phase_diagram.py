"""Phase diagrams: a metric over two swept settings, with further settings as panels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from dynsweep.analysis import grid
from dynsweep.analysis.adaptive import Adaptive
from dynsweep.analysis.columns import ACCURACIES, CELL_QUANTITIES, GAIN, WORDS, cell_column, kinds
from dynsweep.analysis.precision import LEARNED
from dynsweep.config import DATASETS, labels
from dynsweep.figures import layout, style
from dynsweep.figures.boundary import boundary
from dynsweep.figures.panel import Panel


@style.styled
def phase_panels(
    cells: pd.DataFrame,
    metric: str,
    x: str,
    y: str,
    *,
    figure: Figure | None = None,
    adaptive: Adaptive | None = None,
) -> Figure:
    """Draw the mean of a metric over seeds as coloured cells at their true positions.

    Args:
        cells: table of :func:`dynsweep.analysis.statistics.cells`; settings first.
        metric: one of ``dynsweep.analysis.columns.QUANTITIES`` or ``CELL_QUANTITIES``.
        x: setting of the horizontal axis, a column of ``cells``.
        y: setting of the vertical axis.
        figure: an empty one to draw in.
        adaptive: what the rounds of an adaptive sweep were after: its cells may have different
            sizes, and fill the diagram; over accuracies stands the contour of 0.8 with its band.

    Returns:
        The figure; its last axes are the colour bar, those before it the panels (the first 12,
        if there are more). ``collections[0]`` of a panel is its mesh, masked where there is no
        such cell; if only few cells of the grid exist, the cells as points.
    """
    settings = grid.panel_settings(cells, [x, y])
    note = ""
    if grid.is_search(cells, settings):
        note = f"Cells differ also in {', '.join(settings)}."
        settings = []
    table = grid.placed(cells, settings, [x, y])
    if metric.startswith(GAIN) and "amplitude" in settings:
        table = table[table["amplitude"] != 1]  # a panel of zeros
    parts = grid.split(table, settings)[: layout.MAX_PANELS]
    model = table["model"].iloc[0]
    figure, axes = layout.panels(
        [title for title, _ in parts],
        labels.axis_label(x, model), labels.axis_label(y, model), bar=True, figure=figure,
    )  # fmt: skip
    style.title(figure, layout.headline(metric), layout.facts(cells, metric, note))
    _draw(axes, [rows for _, rows in parts], table, metric, (x, y), adaptive)
    layout.legend(figure)
    return figure


@style.styled
def phase_panel(
    cells: pd.DataFrame, metric: str, x: str, y: str, *, ax: Axes | None = None
) -> Axes:
    """Draw cells without further swept settings, their colour bar and a legend of the marks.

    Arguments are those of :func:`phase_panels`; the colour bar takes some of the room of ``ax``.
    """
    ax = ax if ax is not None else Figure().subplots()
    layout.constrain(ax)
    table = grid.placed(cells, [], [x, y])
    model = table["model"].iloc[0]
    ax.set(xlabel=labels.axis_label(x, model), ylabel=labels.axis_label(y, model))
    ax.set_title(layout.headline(metric), loc="left", fontweight="bold")
    _draw([ax], [table], table, metric, (x, y))
    if ax.get_legend_handles_labels()[0]:
        below = -0.75 / layout.inches(ax)[1]  # tick labels and the axis label are between
        ax.legend(loc="upper left", bbox_to_anchor=(0, below), borderaxespad=0, borderpad=0)
    return ax


def _draw(
    axes: Sequence[Axes],
    parts: Sequence[pd.DataFrame],
    table: pd.DataFrame,
    metric: str,
    settings: tuple[str, str],
    adaptive: Adaptive | None = None,
) -> None:
    """Draw cells into panels, and the colour bar, and label the ticks."""
    x, y = settings
    scales = grid.scale(table[x]), grid.scale(table[y])
    norm, extend, limits = _colours(table, metric, adaptive)
    cmap = style.DIVERGING if metric.startswith(GAIN) else style.SEQUENTIAL
    # Before the cells: the room that is left decides which numbers fit.
    figure: Any = axes[0].figure
    bar = figure.colorbar(ScalarMappable(norm, cmap), ax=list(axes), extend=extend, aspect=25)
    if isinstance(norm, LogNorm):
        style.round_ticks(bar.ax.yaxis)
    bar.set_label("\n".join([WORDS[metric], limits]).strip())
    finer = adaptive is not None and adaptive.refine > 0
    panels = [Panel(ax, rows, x, y, scales, finer) for ax, rows in zip(axes, parts, strict=True)]
    for which, name, scale in zip("xy", (x, y), scales, strict=True):
        figure.draw_without_rendering()  # axes get their sizes, which ticks and numbers go by
        if not any(panel.sparse for panel in panels):
            layout.ticks(axes[0], which, name, scale)
        elif scale.log:
            style.round_ticks(axes[0].xaxis if which == "x" else axes[0].yaxis)
    figure.draw_without_rendering()
    for panel in panels:
        panel.draw(metric, norm, cmap)
        if adaptive and metric in ACCURACIES:
            boundary(panel, metric)


def _chance(table: pd.DataFrame) -> float:
    """The least accuracy by chance of a cell's dataset, NaN where none is known: of classes of
    equal size 1 / C, of own data the share of the largest."""
    of_kind = {name: 1 / getattr(kind, "classes", np.nan) for name, kind in DATASETS.items()}
    known = kinds(table)["dataset"].map(of_kind)
    if "dataset.classes" in table:
        known = (1 / table["dataset.classes"].astype(float)).fillna(known)
    return float(table.get("dataset.chance", known).fillna(known).min())


def _colours(
    table: pd.DataFrame, metric: str, adaptive: Adaptive | None
) -> tuple[Normalize, str, str]:
    """How values become colours, which end of the bar has an arrow, and what a reader has to
    know of its ends."""
    values = table[cell_column(metric)].to_numpy(float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if metric == "learning_probability":
        return Normalize(0, 1), "neither", f"(training accuracy of at least {LEARNED:g})"
    if metric in CELL_QUANTITIES:
        wanted = adaptive.error if adaptive and metric != "seeds" else None
        top = "" if wanted is None else f"({wanted:g} is wanted)"
        return Normalize(0, high if high > 0 else 1), "neither", top
    if metric.startswith(GAIN):
        limit = max(np.ceil(max(-low, high) * 20 - 1e-9) / 20, 0.05)
        return Normalize(-limit, limit), "neither", "over the static loss"
    if not metric.endswith("accuracy"):
        if 0 < low < high / 10:
            return LogNorm(low, high), "neither", "(log scale)"
        return Normalize(low, high if high > low else low + 1), "neither", ""
    bottom, chance = (0.0, "") if np.isnan(least := _chance(table)) else (least, "chance, ")
    # From chance, so that figures compare; from the data where all would be one colour.
    above = values[values >= bottom]
    if len(above) and 1 - above.min() < 0.4 * (1 - bottom):
        bottom, chance = max(bottom, np.floor(above.min() * 20 - 1e-9) / 20), ""
    extend = "min" if low < bottom - 1e-9 else "neither"
    return Normalize(bottom, 1), extend, f"(colours from {chance}{bottom:.2f} to 1)"
