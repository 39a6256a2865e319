"""What a figure of a sweep is drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from dynsweep.analysis.adaptive import Adaptive


@dataclass
class SweepTables:
    """A sweep as tables; the argument of every function in ``dynsweep.figures.FIGURES``.

    Attributes:
        runs: a row per run, with the columns of ``results.csv`` and more.
        cells: a row per cell of the grid, as in ``cells.csv``: settings, then statistics.
        x: setting of the horizontal axis, a column of both; ``None`` where nothing was swept.
        y: setting of the vertical axis; ``None`` where a line reads better.
        adaptive: what the rounds of an adaptive sweep were after.
        decisions: runs that the user wants to see as decision regions, each as the texts of
            settings by their names.
        notes: for the summary, one line each; see :meth:`note`.
    """

    runs: pd.DataFrame
    cells: pd.DataFrame
    x: str | None = None
    y: str | None = None
    adaptive: Adaptive | None = None
    decisions: Sequence[dict[str, str]] = ()
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Tell the user what is missing in a figure, or why there is none."""
        if text not in self.notes:
            self.notes.append(text)
