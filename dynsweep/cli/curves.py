"""Figures of recorded trajectories: each run in time, and the threshold over many runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dynsweep.analysis.columns import unusual, varying
from dynsweep.analysis.decisions import drawable, predictor, recorded_settings
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.onsets import NEEDED, Span, exponents, interesting, onsets
from dynsweep.analysis.select import conditions, matching
from dynsweep.cli.aggregate import write_csv
from dynsweep.cli.valleys import draw_valleys, valley_tables
from dynsweep.config import RunConfig
from dynsweep.config.labels import assignment
from dynsweep.data import load
from dynsweep.errors import AnalysisError, ConfigError
from dynsweep.figures import style
from dynsweep.figures.bouncing import bifurcation, threshold
from dynsweep.figures.decision_regions import decision_strip, save_animation, snapshot
from dynsweep.figures.trajectory import present, trajectory
from dynsweep.store import Damaged, load_snapshots, load_trajectories
from dynsweep.store.files import make_folder

MOST_RUNS = 6  # drawn unless some are chosen
TITLE = ("width", "lr", "period", "amplitude", "seed")  # settings, of any run
STRIP = 6  # panels of a strip of decision regions


def draw(
    directory: Path, output: Path, wanted: list[str], span: Span | None
) -> tuple[list[Path], list[str]]:
    """Draw the trajectories of a sweep directory.

    Args:
        directory: of the sweep, or of a single run.
        output: where the figures go.
        wanted: conditions like ``period=100,amplitude=20``; empty: the first few runs.
        span: first and last step of the zoomed column; chosen by itself if None.

    Returns:
        The files, and notes of what to know of them.

    Raises:
        AnalysisError: nothing was recorded, or no run is as wanted.
    """
    trajectories = {str(run): steps for run, steps in load_trajectories(directory).groupby("id")}
    runs = load_runs([directory]) if trajectories else pd.DataFrame(columns=["id"])
    runs = runs[runs["id"].isin(trajectories)]
    if runs.empty:
        raise AnalysisError(f"{directory}: no trajectories; record some with observe=curvature")
    make_folder(output)
    files: list[Path] = []
    notes: list[str] = []
    chosen = runs
    if wanted:
        fitting = [matching(runs, conditions(text, runs, "run")) for text in wanted]
        chosen = runs[np.logical_or.reduce(fitting)]
    elif len(runs) > MOST_RUNS:
        notes.append(f"Drawn: the first {MOST_RUNS} of {len(runs)} runs; choose with --run.")
        chosen = runs.head(MOST_RUNS)
    numbers = runs[varying(runs)].select_dtypes(["number", "bool"])
    swept = [str(name) for name in numbers if numbers[name].nunique() > 1]
    known = recorded_settings(chosen)
    settings = {name: known[name] for name in _with_snapshots(chosen) if name in known}
    for _, run in chosen.iterrows():
        steps = trajectories[run["id"]].dropna(axis="columns", how="all")
        values = {name.rpartition(".")[2]: run[name] for name in swept if pd.notna(run[name])}
        suffix = "".join(f"_{name}{value:g}" for name, value in values.items())
        files += _draw_run(run, steps, output, suffix, span)
        if run["id"] in known:
            landscape = known[run["id"]].observe.landscape
            reaches = (landscape.reach, landscape.random_reach)
            one = runs[runs["id"] == run["id"]]
            files += draw_valleys(one, steps, reaches, output, suffix, _title(run), span)
        if run["id"] in settings:
            try:
                files += _draw_decisions(run, settings[run["id"]], output, suffix, span)
            except (Damaged, ConfigError) as error:
                notes.append(f"No decision regions of run {run['id']}: {error}.")
    more, words = valley_tables(runs, trajectories, output)
    files, notes = files + more, notes + words
    table = onsets(runs, trajectories)
    if len(table) and (runs["lr"].nunique() > 1 or runs["width"].nunique() > 1):
        bouncing = table.dropna(subset=["sharpness"])
        notes.append(f"{len(bouncing)} of {len(table)} runs start to bounce.")
        notes += exponents(bouncing)
        files.append(write_csv(table, output / "threshold.csv"))
        if len(bouncing):
            constant = [name for name in ("period", "amplitude") if table[name].nunique() == 1]
            facts = {name: table[name].iloc[0] for name in constant} | unusual(runs, TITLE)
            files += style.save_all(threshold(table, _words(facts)), output / "threshold")
    return files, notes


def _with_snapshots(runs: pd.DataFrame) -> list[str]:
    """The runs of which decision regions can be drawn."""
    return drawable(runs.dropna(subset=["snapshots"]))["id"].tolist()


def _title(run: pd.Series) -> str:
    return _words({name: run[name] for name in TITLE} | unusual(run.to_frame().T, TITLE))


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(assignment(name, value) for name, value in settings.items())


def _draw_run(
    run: pd.Series, steps: pd.DataFrame, output: Path, suffix: str, span: Span | None
) -> Iterator[Path]:
    """What was recorded of one run in time, and its bouncing."""
    lr, period = float(run["lr"]), float(run["period"])
    if present(steps):
        zoom = span or interesting(steps, lr, period)
        figure = trajectory(steps, lr, _title(run), zoom, period=period)
        yield from style.save_all(figure, output / f"trajectory{suffix}")
    if set(steps.columns) >= NEEDED:
        shown = steps[steps["step"].between(*span)] if span else steps
        ax = bifurcation(shown, lr, period=period)
        figure = style.title(ax, "Bouncing and curvature", _title(run))
        yield from style.save_all(figure, output / f"bifurcation{suffix}")


def _draw_decisions(
    run: pd.Series, settings: RunConfig, output: Path, suffix: str, span: Span | None
) -> Iterator[Path]:
    """Decision regions of one run at the steps where its weights were recorded."""
    recorded = load_snapshots(run["directory"], run["snapshots"], run["id"])
    data = load(settings.dataset)
    snapshots = [
        snapshot(step, predictor(settings, weights), data)
        for step, weights in sorted(recorded.items())
        if span is None or span[0] <= step <= span[1]
    ]
    if len(recorded) < 2 or not snapshots:
        return
    places = np.unique(np.linspace(0, len(snapshots) - 1, STRIP).round().astype(int))
    figure = decision_strip([snapshots[place] for place in places], _title(run))
    yield from style.save_all(figure, output / f"decision_strip{suffix}")
    yield save_animation(snapshots, output / f"decisions{suffix}.gif", _title(run))
