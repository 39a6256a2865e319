"""The functions for notebooks: a sweep as a table, and a phase diagram of it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dynsweep.analysis import grid, select
from dynsweep.analysis.columns import QUANTITIES, result_columns
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.statistics import cells
from dynsweep.errors import AnalysisError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["load", "phase_diagram"]


def load(*directories: str | PathLike[str]) -> pd.DataFrame:
    """Read the runs that sweeps recorded so far, complete or not.

    Args:
        directories: of sweeps or single runs; a run in several counts once.

    Returns:
        One row per run with the columns of ``results.csv``: settings (``period`` in steps,
        ``amplitude``, ``lr``, ...), ``status`` (``completed``, ``diverged`` or ``failed``),
        accuracies between 0 and 1, losses, ``seconds``, ``id`` and others. What is missing is
        NaN; in columns of whole numbers, which are ``Int64``, it is NA.

    Raises:
        AnalysisError: no directory, or one without records; it is a ``ValueError``.
    """
    if not directories:
        raise AnalysisError("load(): give at least one sweep directory")
    runs = load_runs([Path(directory) for directory in directories])
    return runs[result_columns(runs)]


def phase_diagram(
    results: pd.DataFrame | str | PathLike[str],
    metric: str = "validation_accuracy",
    x: str | None = None,
    y: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean of a metric over seeds, as the figures of ``dynsweep`` show it.

    Where one setting was swept, with or without the static loss beside it, this is a line with
    a band of one standard error.

    Args:
        results: runs as :func:`load` gives them, all or some of its rows; or a directory, of
            which all runs are loaded.
        metric: ``train_accuracy``, ``validation_accuracy``, ``train_loss``, ``validation_loss``,
            or the gain over the static loss, ``gain_train_accuracy``,
            ``gain_validation_accuracy``.
        x: setting of the horizontal axis, short (``lr``) or in full (``optimizer.lr``); by
            default the period if it and the amplitude were swept, else as ``dynsweep`` chooses.
        y: setting of the vertical axis, by default the amplitude.
        ax: where to draw; a new pyplot figure by default, with what all runs share in its title.

    Returns:
        The axes of the diagram; the colour bar has its own.

    Raises:
        AnalysisError: an unknown metric or setting, one that was not swept, nothing swept, or
            runs that differ in further settings than the two and the seed; it is a
            ``ValueError``.

    >>> import matplotlib, pandas
    >>> matplotlib.use("agg")
    >>> grid = [(period, amplitude) for period in (10, 100) for amplitude in (1.0, 20.0)]
    >>> results = pandas.DataFrame(grid, columns=["period", "amplitude"]).assign(
    ...     dataset="spirals", model="mlp", seed=0, status="completed", train_accuracy=0.5,
    ...     validation_accuracy=[0.4, 0.5, 0.4, 0.9], train_loss=1.0, validation_loss=1.1)
    >>> phase_diagram(results).get_xlabel()
    'period T (steps)'
    """
    select.check(metric, QUANTITIES, "metric")
    if not isinstance(results, pd.DataFrame):
        results = load(results)
    if results.empty:
        raise AnalysisError("results: no runs")
    table = cells(results)
    if x is None and y is None and {"period", "amplitude"} <= set(grid.swept(table)):
        x, y = "period", "amplitude"
    axes = [name for name in select.axes(table, x, y) if name]
    if not axes or not grid.swept(table):
        raise AnalysisError("results: no setting but the seed was swept, so no diagram")
    others = grid.panel_settings(table, axes) if axes[1:] else grid.line_settings(table, *axes)
    if others:
        example = results[others[0]].dropna().iloc[:1].tolist()
        raise AnalysisError(
            f"results differ also in {', '.join(others)}: choose, "
            f"as in results[results[{others[0]!r}] == {example[0]!r}]"
        )
    if obstacle := select.obstacle(table, metric):
        raise AnalysisError(obstacle, metric=metric)
    from dynsweep.figures.lines import line_panel, line_panels
    from dynsweep.figures.phase_diagram import phase_panel, phase_panels

    if ax is not None:
        if axes[1:]:
            return phase_panel(table, metric, *axes, ax=ax)
        return line_panel(table, metric, *axes, ax=ax)
    import matplotlib.pyplot as plt

    if axes[1:]:
        return phase_panels(table, metric, *axes, figure=plt.figure()).axes[0]
    return line_panels(table, metric, *axes, figure=plt.figure()).axes[0]
