"""From the records of sweep directories to CSV tables, figures and the page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dynsweep.analysis import select
from dynsweep.analysis.adaptive import adaptive
from dynsweep.analysis.columns import ACCURACIES, QUANTITIES, result_columns
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.statistics import cells
from dynsweep.analysis.summary import Summary
from dynsweep.analysis.variance import shares
from dynsweep.errors import AnalysisError
from dynsweep.store import SweepPaths
from dynsweep.store.files import make_folder
from dynsweep.store.foreign import refuse_foreign, replacing_own

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dynsweep.figures import SweepTables

DEFAULT_METRICS = (*ACCURACIES, *(f"gain_{name}" for name in ACCURACIES))
FORMATS = ("png", "pdf", "svg")


def aggregate(
    directories: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    metrics: Sequence[str] = (),
    decisions: Sequence[str] = (),
    where: str | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    figures: bool = True,
    html: bool = False,
    numbers: Mapping[str, int] | None = None,
) -> Summary:
    """Write ``results.csv``, ``cells.csv``, ``variance.csv`` and figures of the runs recorded so
    far.

    Args:
        directories: sweep directories, complete or not; a run in several counts once.
        output: where to write; a single directory's own place by default.
        x: setting of the diagrams' horizontal axis, short or dotted; chosen if not given.
        y: of the vertical axis.
        metrics: what to draw, out of ``QUANTITIES``; the accuracies and their gains if empty.
        decisions: runs to show as decision regions, each like ``period=100,amplitude=20``;
            the static loss and the best cell if empty.
        where: runs that figures are drawn of, like ``width=100``; the tables hold all.
        formats: of the figures, out of ``FORMATS``.
        figures: whether to draw any.
        html: whether to write the interactive ``report.html``.
        numbers: of runs in the grid of the command that asks, by identity; others keep the
            number under which they were recorded.

    Raises:
        AnalysisError: a directory without records, or an argument that does not fit them.
        ForeignFile: one that would be replaced is not dynsweep's; then nothing is written.
    """
    if output is None and len(directories) != 1:
        raise AnalysisError("several directories: say where to write, with output")
    metrics = metrics or DEFAULT_METRICS
    for metric in metrics:
        select.check(metric, QUANTITIES, "metric")
    for form in formats:
        select.check(form, FORMATS, "formats")
    runs = load_runs(directories, numbers or {})
    table = cells(runs)
    variance = shares(runs, table)
    summary = Summary(runs, table, variance.table, Path(output or directories[0]))
    shown, drawn = runs, table
    if where and len(runs):
        shown = runs[select.matching(runs, select.conditions(where, runs, "where"))]
        if shown.empty:
            raise AnalysisError("no run has all of these", where=where)
        drawn = cells(shown)
    wanted = [select.conditions(text, shown, "decision") for text in decisions]
    axes = select.axes(drawn, x, y)
    rounds = adaptive(directories)

    paths = SweepPaths(summary.output)
    drawers = _drawers(metrics) if figures else {}
    pictures = [paths.directory / f"{name}.{form}" for name in drawers for form in formats]
    refuse_foreign([paths.results, paths.cells, *pictures, *([paths.report] if html else [])])
    make_folder(paths.directory)
    summary.files += [
        write_csv(runs[result_columns(runs)], paths.results),
        write_csv(table, paths.cells),
    ]
    if len(variance.table) or paths.variance.exists():  # of a grid that was full, and has grown
        summary.files.append(write_csv(variance.table, paths.variance))
    if figures:
        from dynsweep.figures import SweepTables, style

        tables = SweepTables(shown, drawn, *axes, rounds, wanted, summary.notes)
        for name, draw in drawers.items():
            if figure := draw(tables):
                summary.files += style.save_all(figure, paths.directory / name, formats)
    summary.notes += variance.notes
    if html and len(runs):
        from dynsweep.page.page import write_page

        summary.notes += write_page(
            directories, runs, table, axes, paths.report, variance, bool(rounds and rounds.refine)
        )
        summary.files.append(paths.report)
    return summary


def _drawers(metrics: Sequence[str]) -> dict[str, Callable[["SweepTables"], "Figure | None"]]:
    """Those of the figures that show one of the metrics, or none in particular."""
    from dynsweep.figures import FIGURES

    shown = {name: name.removeprefix("phase_diagram_") for name in FIGURES}
    return {
        name: draw
        for name, draw in FIGURES.items()
        if shown[name] in metrics or shown[name] not in QUANTITIES
    }


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table, whole or not at all."""
    with replacing_own(path) as partial:
        table.to_csv(partial, index=False)
    return path
