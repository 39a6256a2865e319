"""Figures: tables in, Axes or a Figure out; nothing here but :mod:`.style` writes files.

A function that draws one set of axes takes its data and ``ax=None``, and returns the Axes; one
that draws several panels takes ``figure=None`` and returns the Figure. Sizes and colours of text
and lines come from ``sheet.mplstyle``, which holds inside functions that are ``style.styled``.

``FIGURES`` are those that ``dynsweep`` and ``dynsweep-aggregate`` make of a sweep, by the names
of their files. To add one: a file with a function that takes
:class:`~dynsweep.figures.tables.SweepTables` and returns a Figure, or ``None`` where it does not
apply, perhaps after ``tables.note(why)``; and a line in ``FIGURES``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from dynsweep.analysis.statistics import GAINS
from dynsweep.figures import decision_regions
from dynsweep.figures.diagram import diagram
from dynsweep.figures.tables import SweepTables
from dynsweep.store import METRICS

__all__ = ["FIGURES", "SweepTables"]

FIGURES: dict[str, Callable[[SweepTables], Figure | None]] = {
    **{f"phase_diagram_{name}": partial(diagram, metric=name) for name in METRICS},
    **{f"gain_{name}": partial(diagram, metric=f"gain_{name}") for name in GAINS},
    "decision_regions": decision_regions.of_sweep,
}
