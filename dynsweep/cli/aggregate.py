"""From the records of sweep directories to CSV tables, figures and the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dynsweep.analysis import decisions as regions
from dynsweep.analysis import grid, select
from dynsweep.analysis.columns import (
    ACCURACIES,
    QUANTITIES,
    result_columns,
    setting_columns,
    varying,
)
from dynsweep.analysis.errors import AnalysisError
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.statistics import cells
from dynsweep.analysis.summary import Summary
from dynsweep.data import load
from dynsweep.figures import style
from dynsweep.store import SweepPaths, load_weights
from dynsweep.store.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_METRICS = (*ACCURACIES, *(f"gain_{name}" for name in ACCURACIES))
FORMATS = ("png", "pdf", "svg")
MOST_PICTURES = 12  # of decision regions

Axes = tuple[str | None, str | None]


def aggregate(
    directories: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    decisions: Sequence[str] = (),
    where: str | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    figures: bool = True,
    html: bool = False,
) -> Summary:
    """Write ``results.csv``, ``cells.csv`` and figures of the runs recorded so far.

    Args:
        directories: sweep directories, complete or not; a run in several counts once.
        output: where to write; a single directory's own place by default.
        x: setting of the diagrams' horizontal axis, short or dotted; chosen if not given.
        y: of the vertical axis.
        metrics: what to draw, out of ``QUANTITIES``.
        decisions: runs to show as decision regions, each like ``period=100,amplitude=20``;
            the static loss and the best cell if empty.
        where: runs that figures are drawn of, like ``width=100``; the tables hold all.
        formats: of the figures, out of ``FORMATS``.
        figures: whether to draw any.
        html: whether to write the interactive ``report.html``.

    Raises:
        AnalysisError: a directory without records, or an argument that does not fit them.
    """
    if output is None and len(directories) != 1:
        raise AnalysisError("several directories: say where to write, with output")
    for metric in metrics:
        select.quantity(metric)
    for form in formats:
        if form not in FORMATS:
            raise AnalysisError(f"must be one of {', '.join(FORMATS)}", formats=form)
    runs = load_runs(directories)
    table = cells(runs)
    summary = Summary(runs, table, Path(output or directories[0]))
    shown, drawn = runs, table
    if where and len(runs):
        shown = runs[select.matching(runs, select.conditions(where, runs, "where"))]
        if shown.empty:
            raise AnalysisError("no run has all of these", where=where)
        drawn = cells(shown)
    wanted = [select.conditions(text, shown, "decision") for text in decisions]
    axes = select.axes(drawn, x, y)

    paths = SweepPaths(summary.output)
    paths.directory.mkdir(parents=True, exist_ok=True)
    summary.files += [
        write_csv(runs[result_columns(runs)], paths.results),
        write_csv(table, paths.cells),
    ]
    if figures:
        for name, figure in _figures(shown, drawn, axes, metrics, wanted, summary):
            for form in formats:
                summary.files.append(style.save(figure, paths.directory / f"{name}.{form}"))
    if html and len(runs):
        from dynsweep.page.page import write_page

        summary.notes += write_page(directories, runs, table, axes, paths.report)
        summary.files.append(paths.report)
    return summary


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table, whole or not at all."""
    with replacing(path) as partial:
        table.to_csv(partial, index=False)
    return path


def _figures(
    runs: pd.DataFrame,
    table: pd.DataFrame,
    axes: Axes,
    metrics: Sequence[str],
    wanted: Sequence[dict[str, str]],
    summary: Summary,
) -> Iterator[tuple[str, Figure]]:
    """Figures with their names; what cannot be drawn is noted in the summary."""
    yield from _diagrams(table, axes, metrics, summary)
    chosen = _chosen(regions.drawable(runs), table, wanted, summary)
    figure = _decision_regions(chosen, summary) if len(chosen) else None
    if figure is not None:
        yield "decision_regions", figure


def _diagrams(
    table: pd.DataFrame, axes: Axes, metrics: Sequence[str], summary: Summary
) -> Iterator[tuple[str, Figure]]:
    from dynsweep.figures.layout import MAX_PANELS
    from dynsweep.figures.lines import line_plot
    from dynsweep.figures.phase_diagram import phase_diagram

    names = [name for name in axes if name is not None]
    if not names:
        summary.notes.append("No phase diagram: no setting but the seed was swept.")
        return
    if len(names) == 2:
        panels = grid.panel_settings(table, names)
        count = len(grid.split(grid.spread_static(table, panels), panels))
        if count > MAX_PANELS and not grid.is_search(table, panels):
            summary.notes.append(
                f"Figures show the first {MAX_PANELS} of {count} panels ({', '.join(panels)}); "
                f"choose others with dynsweep-aggregate --where {panels[0]}=..."
            )
    for metric in metrics:
        if obstacle := select.obstacle(table, metric):
            summary.notes.append(f"No diagram of {metric}: {obstacle}.")
            continue
        draw = phase_diagram if len(names) == 2 else line_plot
        name = metric if metric.startswith("gain_") else f"phase_diagram_{metric}"
        yield name, draw(table, QUANTITIES[metric], *names)


def _chosen(
    runs: pd.DataFrame, table: pd.DataFrame, wanted: Sequence[dict[str, str]], summary: Summary
) -> pd.DataFrame:
    """The runs whose decision regions are drawn: typical ones of the best cells that fit."""
    keys = [name for name in setting_columns(runs) if name != "seed"]
    if not wanted:
        best = select.best_cell(table)
        return regions.static_and_best(runs, best, keys) if best is not None else runs.head(0)
    chosen = []
    for request in wanted:
        fitting = runs[select.matching(runs, request)]
        best = select.best_cell(cells(fitting)) if len(fitting) else None
        if best is None:
            words = ",".join(f"{name}={value}" for name, value in request.items())
            summary.notes.append(f"No decision regions of {words}: no saved weights in the plane.")
        else:
            chosen.append(regions.typical_runs(regions.of_cell(fitting, best, keys), []))
    return pd.concat(chosen) if chosen else runs.head(0)


def _decision_regions(runs: pd.DataFrame, summary: Summary) -> Figure | None:
    """One figure of these runs; None where the weights of none are to be had."""
    from dynsweep.figures.captions import shared
    from dynsweep.figures.decision_regions import Picture, decision_regions

    pictures, settings = [], regions.recorded_settings(runs)
    for _, run in runs.head(MOST_PICTURES).iterrows():
        try:
            weights = load_weights(run["directory"], run["weights"])[run["id"]]
        except OSError as error:
            summary.notes.append(
                f"No decision regions of run {run['id']}: {error.strerror}, {error.filename}"
            )
            continue
        data = load(settings[run["id"]].dataset)
        predict = regions.predictor(settings[run["id"]], weights)
        title = regions.title(run, varying(runs))
        pictures.append(Picture(title, predict, data.train_inputs, data.train_labels))
    if not pictures:
        return None
    return decision_regions(pictures, ", ".join(shared(cells(runs), ("period", "amplitude"))))
