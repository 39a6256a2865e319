"""From the records of sweep directories to CSV tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dynsweep.analysis import decisions as regions
from dynsweep.analysis import grid, select
from dynsweep.analysis.frame import OUTCOME, SHORT, load_frame
from dynsweep.analysis.select import AggregateError
from dynsweep.analysis.statistics import GAINS, cells, ordered, settings, varying
from dynsweep.analysis.summary import Summary
from dynsweep.figures import style
from dynsweep.store.files import replacing
from dynsweep.store.records import METRICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Settings that results.csv holds even where all runs have the same.
KEY = (
    "model.init",
    "steps",
    "epochs",
    "optimizer.batch_size",
    "precision",
    "loss.last_period_static",
    "loss.counting",
    "dataset.classes",  # sets the chance level
)
LAST = ("engine", "device", "error", "number", "id")
# What a figure can show, and its file name.
FIGURES = {
    **{name: f"phase_diagram_{name}" for name in METRICS},
    **{f"gain_{name}": f"gain_{name}" for name in GAINS},
}
DEFAULT_FIGURES = (*GAINS, *(f"gain_{name}" for name in GAINS))
FORMATS = ("png", "pdf", "svg")


def aggregate(
    directories: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    metrics: Sequence[str] = DEFAULT_FIGURES,
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
        metrics: what to draw, out of ``FIGURES``.
        decisions: runs to show as decision regions, each like ``period=100,amplitude=20``;
            the static loss and the best cell if empty.
        where: runs that figures are drawn of, like ``width=100``; the tables hold all.
        formats: of the figures, out of ``FORMATS``.
        figures: whether to draw any.
        html: whether to write the interactive ``report.html``.

    Raises:
        AggregateError: a directory without records, or an option that does not fit them.
    """
    check_records(directories)
    if output is None:
        if len(directories) != 1:
            raise AggregateError("several directories: say where to write with --output DIR")
        output = directories[0]
    for option, chosen, allowed in (("metric", metrics, FIGURES), ("formats", formats, FORMATS)):
        for name in chosen:
            if name not in allowed:
                raise AggregateError(f"--{option}={name}: must be one of {', '.join(allowed)}")
    frame = load_runs(directories)
    table = cells(frame)
    summary = Summary(frame, table, Path(output))
    shown = frame
    if where and len(frame):
        wanted = select.conditions(where, frame, "--where")
        shown = frame[select.matching(frame, wanted)]
        if shown.empty:
            raise AggregateError(f"--where={where}: no run has all of these")
    wanted_runs = [select.conditions(text, shown, "--decision") for text in decisions]
    drawn = cells(shown) if where else table
    axes = _axes(drawn, x, y)

    summary.output.mkdir(parents=True, exist_ok=True)
    _write_csv(frame[columns(frame)], summary, "results.csv")
    _write_csv(table, summary, "cells.csv")
    if figures:
        for name, figure in _figures(shown, drawn, axes, metrics, wanted_runs, summary):
            for form in formats:
                summary.files.append(style.save(figure, summary.output / f"{name}.{form}"))
    if html and len(frame):
        from dynsweep.page.page import write_page

        path, notes = write_page(directories, frame, table, axes, summary.output)
        summary.files.append(path)
        summary.notes += notes
    return summary


def check_records(directories: Sequence[str | Path]) -> None:
    """Raise :class:`AggregateError` for the first directory without records."""
    for directory in directories:
        if not any(Path(directory, "runs").glob("*.jsonl")):
            raise AggregateError(
                f"{directory}: no run records (expected {Path(directory, 'runs', '*.jsonl')})"
            )


def load_runs(directories: Sequence[str | Path]) -> pd.DataFrame:
    """All runs, a row each, in the order of ``results.csv``."""
    frame = load_frame(directories)
    return ordered(frame, [*settings(frame), "id"])


def _axes(table: pd.DataFrame, x: str | None, y: str | None) -> tuple[str | None, str | None]:
    """The axes asked for; those not asked for by the automatic choice."""
    known = grid.settings(table)
    chosen_x, chosen_y = grid.choose_axes(table) if len(table) else (None, None)
    if x is None and y is None:
        return chosen_x, chosen_y
    swept = grid.swept(table) or known
    x = None if x is None else select.column(x, swept, "--x")
    y = None if y is None else select.column(y, swept, "--y")
    if x == y:
        raise AggregateError(f"--x={x} --y={y}: must be two different settings")
    free = [name for name in (chosen_x, chosen_y) if name not in (x, y, None)]
    if x is None:
        return (free[0] if free else None), y
    return x, y if y is not None else (free[-1] if free else None)


def columns(frame: pd.DataFrame) -> list[str]:
    """Columns of results.csv: the contract's first, then settings that vary or matter."""
    first = [*SHORT.values(), *OUTCOME]
    rest = [n for n in settings(frame) if n in KEY or n in varying(frame)]
    return list(dict.fromkeys(n for n in [*first, *rest, *LAST] if n in frame))


def _write_csv(table: pd.DataFrame, summary: Summary, name: str) -> None:
    path = summary.output / name
    with replacing(path) as partial:
        table.to_csv(partial, index=False)
    summary.files.append(path)


def _figures(
    frame: pd.DataFrame,
    table: pd.DataFrame,
    axes: tuple[str | None, str | None],
    metrics: Sequence[str],
    wanted: Sequence[dict[str, str]],
    summary: Summary,
) -> Iterator[tuple[str, Figure]]:
    """Figures with their names; what cannot be drawn is noted in the summary."""
    x, y = axes
    if x is None and y is None:
        summary.notes.append("No phase diagram: no setting but the seed was swept.")
    else:
        yield from _diagrams(table, x, y, metrics, summary)
    runs = regions.drawable(frame)
    keys = [name for name in settings(frame) if name != "seed"]
    best = select.best_cell(table)
    if wanted:
        found = (_requested(runs, request, keys, summary) for request in wanted)
        chosen = [run for run in found if run is not None]
    elif best is None or runs.empty:
        chosen = []
    else:
        chosen = regions.static_and_best(runs, best, keys)
    pictures = []
    swept = varying(pd.DataFrame(chosen)) if len(chosen) > 1 else []
    for run in chosen[:12]:
        try:
            pictures.append(regions.picture(run, swept))
        except OSError as error:
            summary.notes.append(
                f"No decision regions of run {run['id']}: {error.strerror}, {error.filename}"
            )
    if pictures:
        from dynsweep.figures.captions import shared
        from dynsweep.figures.decision_regions import decision_regions

        facts = shared(cells(pd.DataFrame(chosen)), without=("period", "amplitude"))
        yield "decision_regions", decision_regions(pictures, ", ".join(facts))


def _diagrams(
    table: pd.DataFrame, x: str | None, y: str | None, metrics: Sequence[str], summary: Summary
) -> Iterator[tuple[str, Figure]]:
    from dynsweep.figures.layout import MAX_PANELS
    from dynsweep.figures.lines import line_plot
    from dynsweep.figures.phase_diagram import phase_diagram

    axes = [name for name in (x, y) if name is not None]
    if len(axes) == 2:
        panels = grid.panel_settings(table, axes)
        count = len(grid.split(grid.spread_static(table, panels), panels))
        if count > MAX_PANELS and not grid.is_search(table, panels):
            summary.notes.append(
                f"Figures show the first {MAX_PANELS} of {count} panels ({', '.join(panels)}); "
                f"choose others with dynsweep-aggregate --where {panels[0]}=..."
            )
    for metric in metrics:
        name, obstacle = drawn_as(table, metric)
        if obstacle:
            summary.notes.append(f"No diagram of {metric}: {obstacle}.")
            continue
        draw = (
            phase_diagram(table, name, *axes) if len(axes) == 2 else line_plot(table, name, *axes)
        )
        yield FIGURES[metric], draw


def drawn_as(table: pd.DataFrame, metric: str) -> tuple[str, str]:
    """What the figures call one of ``FIGURES``; and why these cells have no diagram of it."""
    if metric.startswith("gain_"):
        name = f"{metric.removeprefix('gain_')}_gain"
        return name, "no static run (amplitude 1)" if table[name].isna().all() else ""
    return metric, "no run has a value" if table[f"{metric}_mean"].isna().all() else ""


def _requested(
    runs: pd.DataFrame, request: dict[str, str], keys: list[str], summary: Summary
) -> pd.Series | None:
    """A typical run of the best cell among those that a ``--decision`` allows."""
    fitting = runs[select.matching(runs, request)]
    best = select.best_cell(cells(fitting)) if len(fitting) else None
    if best is None:
        told = ",".join(f"{name}={value}" for name, value in request.items())
        summary.notes.append(f"No decision regions of {told}: no saved weights in the plane.")
        return None
    return regions.typical_run(
        fitting[select.matching(fitting, {name: best[name] for name in keys})]
    )
