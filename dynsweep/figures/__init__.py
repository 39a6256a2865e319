"""Figures: tables in, Axes or a Figure out; nothing here but :mod:`.style` writes files.

A function that draws one set of axes takes its data and ``ax=None``, and returns the Axes; one
that draws several panels takes ``figure=None`` and returns the Figure. Sizes and colours of text
and lines come from ``sheet.mplstyle``, which holds inside functions that are ``style.styled``.

``FIGURES`` are those that ``dynsweep`` and ``dynsweep-aggregate`` make of a sweep, by the names
of their files. To add one: a file with a function that takes
:class:`~dynsweep.figures.tables.SweepTables` and returns a Figure, or ``None`` where it does not
apply, perhaps after ``tables.note(why)``; and a line in ``FIGURES``.
"""

from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from dynsweep.analysis import grid
from dynsweep.analysis.columns import ACCURACIES, cell_column
from dynsweep.analysis.select import obstacle
from dynsweep.figures.decision_regions import regions_of_sweep
from dynsweep.figures.layout import MAX_PANELS
from dynsweep.figures.lines import line_panels
from dynsweep.figures.phase_diagram import phase_panels
from dynsweep.figures.tables import SweepTables
from dynsweep.store import METRICS

__all__ = ["FIGURES", "SweepTables"]


def diagram(tables: SweepTables, metric: str) -> Figure | None:
    """Draw a metric, or its gain over the static loss: cells over two settings, or a line."""
    cells, axes = tables.cells, [name for name in (tables.x, tables.y) if name is not None]
    if not axes:
        tables.note("No phase diagram: no setting but the seed was swept.")
        return None
    if (cells["failed"] == cells["seeds"]).all():
        tables.note("No diagrams: no run has a result.")
        return None
    if reason := obstacle(cells, metric):
        tables.note(f"No diagram of {metric}: {reason}.")
        return None
    if len(axes) == 1:
        return line_panels(cells, metric, axes[0])
    settings = grid.panel_settings(cells, axes)
    count = len(grid.split(grid.spread_static(cells, settings), settings))
    if count > MAX_PANELS and not grid.is_search(cells, settings):
        tables.note(
            f"Figures show the first {MAX_PANELS} of {count} panels ({', '.join(settings)}); "
            f"choose others with dynsweep-aggregate --where {settings[0]}=..."
        )
    return phase_panels(cells, metric, axes[0], axes[1], adaptive=tables.adaptive)


def of_cells(tables: SweepTables, quantity: str) -> Figure | None:
    """Draw the seeds of an adaptive sweep, or the error of what it looks at; or which share of the
    seeds learns, where that can be told from their number."""
    x, y, adaptive = tables.x, tables.y, tables.adaptive
    share = quantity == "learning_probability"
    if x is None or y is None or not (adaptive or (share and tables.cells["seeds"].max() >= 5)):
        return None
    if quantity == "error" and adaptive:
        quantity = f"{adaptive.objective}_error"
    if tables.cells[cell_column(quantity)].isna().all():
        return None
    return phase_panels(tables.cells, quantity, x, y, adaptive=adaptive)


FIGURES: dict[str, Callable[[SweepTables], Figure | None]] = {
    **{f"phase_diagram_{name}": partial(diagram, metric=name) for name in METRICS},
    **{f"gain_{name}": partial(diagram, metric=f"gain_{name}") for name in ACCURACIES},
    "phase_diagram_learning_probability": partial(of_cells, quantity="learning_probability"),
    **{name: partial(of_cells, quantity=name) for name in ("seeds", "error")},
    "decision_regions": regions_of_sweep,
}
