"""The functions for notebooks: a sweep as a table, a phase diagram, what a run left behind."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dynsweep import store
from dynsweep.analysis import grid, select
from dynsweep.analysis.columns import QUANTITIES, result_columns
from dynsweep.analysis.frame import FILES, load_runs
from dynsweep.analysis.statistics import cells
from dynsweep.errors import AnalysisError
from dynsweep.store import SweepPaths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Place = str | PathLike[str]

__all__ = ["load", "load_snapshots", "load_trajectory", "load_weights", "phase_diagram"]


def load(*directories: Place | Iterable[Place]) -> pd.DataFrame:
    """Read the runs that sweeps recorded so far, complete or not.

    Args:
        directories: of sweeps or single runs, also in lists, also patterns like
            ``outputs/*/2026-*`` (``**`` is any depth), which stand for those of the directories
            that have records. A run in several directories counts once.

    Returns:
        One row per run with the columns of ``results.csv``: settings (``period`` in steps,
        ``amplitude``, ``lr``, ...), ``status`` (``completed``, ``diverged`` or ``failed``),
        accuracies between 0 and 1, losses, ``seconds``, ``id`` and others; then ``sweep``, the
        directory, and the names of the files there with what else was recorded of the run:
        ``weights``, ``snapshots``, ``trajectory``. What is missing is NaN; in columns of whole
        numbers, which are ``Int64``, it is NA.

    Raises:
        AnalysisError: no directory, or one without records; it is a ``ValueError``.
    """
    places = [place for given in directories for place in _places(given)]
    if not places:
        raise AnalysisError("load(): give at least one sweep directory")
    runs = load_runs(places)
    runs["sweep"] = runs["directory"] if len(runs) else None
    return runs[[*result_columns(runs), *FILES]]


def _places(given: Place | Iterable[Place]) -> list[Path]:
    """The directories that an argument of :func:`load` means."""
    if not isinstance(given, str | PathLike):
        return [place for one in given for place in _places(one)]
    place = Path(given)
    if place.exists() or not glob.has_magic(str(place)):
        return [place]
    found = [Path(path) for path in sorted(glob.glob(str(place), recursive=True))]
    found = [path for path in found if SweepPaths(path).records()]
    if not found:
        raise AnalysisError(f"{place}: no directory with run records fits")
    return found


def load_weights(run: pd.Series) -> dict[str, NDArray[Any]]:
    """The final weights of a run by name, such as ``w1`` of shape ``(inputs, width)``.

    Args:
        run: a row of :func:`load`, such as ``load(DIR).iloc[0]``.

    Raises:
        AnalysisError: not such a row, or a run without saved weights; it is a ``ValueError``.
        Damaged: the file is missing or damaged; it is a ``DynsweepError``.
    """
    folder, file, name = _recorded(run, "weights")
    weights = store.load_weights(folder, file)
    if name not in weights:
        raise store.Damaged(SweepPaths(folder).weights / file, f"holds nothing of run {name}")
    return {part: values.copy() for part, values in weights[name].items()}


def load_snapshots(run: pd.Series) -> dict[int, dict[str, NDArray[Any]]]:
    """The weights recorded along a run (``observe.snapshots_every``) by step, each as those of
    :func:`load_weights`, whose argument and errors it has."""
    return store.load_snapshots(*_recorded(run, "snapshots"))


def load_trajectory(run: pd.Series) -> pd.DataFrame:
    """What was recorded along a run (``observe=metrics``, ``observe=curvature``): a row per step.

    Returns:
        ``step``, and what was observed: ``train_accuracy``, ``loss``, ``sharpness``, ... A
        quantity that was not recorded at a step is NaN there.

    Argument and errors are those of :func:`load_weights`.
    """
    folder, file, name = _recorded(run, "trajectory")
    path = store.inside(SweepPaths(folder).trajectories, file)
    steps = store.load_trajectory(path)
    own = steps[steps["id"] == name].drop(columns="id").dropna(axis="columns", how="all")
    if own.empty:
        raise store.Damaged(path, f"holds nothing of run {name}")
    return own.reset_index(drop=True)


def _recorded(run: object, what: str) -> tuple[str, str, str]:
    """Directory, file and id of what was recorded of a run."""
    if not isinstance(run, Mapping | pd.Series) or not {"sweep", "id", what} <= set(run.keys()):
        raise AnalysisError("run: must be a row of load(), such as load(DIR).iloc[0]")
    if pd.isna(run[what]):
        raise AnalysisError(f"run {run['id']}: no {what} recorded")
    return str(run["sweep"]), str(run[what]), str(run["id"])


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
        AnalysisError: not a table of runs, an unknown metric or setting, one that was not swept,
            nothing swept, or runs that differ in further settings than these and the seed; it is
            a ``ValueError``.

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
    if isinstance(results, str | PathLike):
        results = load(results)
    select.check_runs(results)
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
