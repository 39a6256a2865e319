"""The diagram of a metric that a sweep gets: cells over two settings, or a line over one."""

from matplotlib.figure import Figure

from dynsweep.analysis import grid
from dynsweep.analysis.select import obstacle
from dynsweep.figures.layout import MAX_PANELS
from dynsweep.figures.lines import line_panels
from dynsweep.figures.phase_diagram import phase_panels
from dynsweep.figures.tables import SweepTables


def diagram(tables: SweepTables, metric: str) -> Figure | None:
    """Draw a metric, or its gain over the static loss, over what was swept."""
    cells, axes = tables.cells, [name for name in (tables.x, tables.y) if name is not None]
    if not axes:
        tables.note("No phase diagram: no setting but the seed was swept.")
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
    return phase_panels(cells, metric, *axes)
