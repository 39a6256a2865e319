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

from dynsweep.analysis.columns import QUANTITIES
from dynsweep.figures.decision_regions import regions_of_sweep
from dynsweep.figures.diagram import diagram
from dynsweep.figures.tables import SweepTables

__all__ = ["FIGURES", "SweepTables", "file_name"]


def file_name(metric: str) -> str:
    """The name in ``FIGURES`` of a metric's diagram."""
    return metric if metric.startswith("gain_") else f"phase_diagram_{metric}"


FIGURES: dict[str, Callable[[SweepTables], Figure | None]] = {
    **{file_name(metric): partial(diagram, metric=metric) for metric in QUANTITIES},
    "decision_regions": regions_of_sweep,
}
