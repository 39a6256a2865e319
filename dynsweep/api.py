"""The functions for notebooks: a sweep as a table, and a phase diagram of it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from dynsweep.analysis import grid
from dynsweep.analysis.select import AggregateError, column
from dynsweep.analysis.statistics import cells
from dynsweep.cli.aggregate import FIGURES, check_records, columns, drawn_as, load_runs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def load(*directories: str | PathLike[str]) -> pd.DataFrame:
    """Read the runs that sweeps recorded so far, complete or not.

    Args:
        directories: of sweeps or single runs; a run in several counts once.

    Returns:
        One row per run with the columns of ``results.csv``: settings (``period``, ``amplitude``,
        ``lr``, ...), ``status``, accuracies and losses, ``seconds``, ``id`` and others.

    Raises:
        ValueError: a directory holds no records.
    """
    if not directories:
        raise AggregateError("load(): give at least one sweep directory")
    paths = [Path(directory) for directory in directories]
    check_records(paths)
    frame = load_runs(paths)
    return frame[columns(frame)]


def phase_diagram(
    results: pd.DataFrame,
    metric: str = "validation_accuracy",
    x: str = "period",
    y: str = "amplitude",
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean of a metric over seeds, as the figures of ``dynsweep`` show it.

    Args:
        results: runs as :func:`load` gives them, all or some of its rows.
        metric: ``train_accuracy``, ``validation_accuracy``, ``train_loss``, ``validation_loss``,
            or the gain over the static loss, ``gain_train_accuracy``,
            ``gain_validation_accuracy``.
        x: setting of the horizontal axis, short (``lr``) or in full (``optimizer.lr``).
        y: setting of the vertical axis.
        ax: where to draw; a new pyplot figure by default, with what all runs share in its title.

    Returns:
        The axes of the diagram; the colour bar has its own.

    Raises:
        ValueError: an unknown metric or setting, one that was not swept, or runs that differ in
            further settings than the two and the seed.
    """
    if metric not in FIGURES:
        raise AggregateError(f"metric={metric}: must be one of {', '.join(FIGURES)}")
    if results.empty:
        raise AggregateError("results: no runs")
    table = cells(results)
    swept = grid.swept(table) or grid.settings(table)
    x, y = column(x, swept, "x"), column(y, swept, "y")
    if x == y:
        raise AggregateError(f"x={x} y={y}: must be two different settings")
    if others := grid.panel_settings(table, [x, y]):
        example = results[others[0]].dropna().iloc[:1].tolist()
        raise AggregateError(
            f"results differ also in {', '.join(others)}: choose, "
            f"as in results[results[{others[0]!r}] == {example[0]!r}]"
        )
    name, obstacle = drawn_as(table, metric)
    if obstacle:
        raise AggregateError(f"metric={metric}: {obstacle}")
    from dynsweep.figures import phase_diagram as plots

    if ax is not None:
        plots.phase_diagram_on(ax, table, name, x, y)
        return ax
    import matplotlib.pyplot as plt

    return plots.phase_diagram(table, name, x, y, figure=plt.figure()).axes[0]
