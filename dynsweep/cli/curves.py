"""Figures of recorded trajectories: each run in time, and the threshold over many runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dynsweep.analysis.decisions import dataset_of, drawable, predictor_of
from dynsweep.analysis.frame import load_frame
from dynsweep.analysis.select import AggregateError, conditions, matching
from dynsweep.analysis.statistics import varying
from dynsweep.config import labels
from dynsweep.curvature.threshold import crossing, fit_power, onset
from dynsweep.store.trajectories import load_snapshots, load_trajectories

MOST_RUNS = 6  # drawn unless some are chosen
STRIP = 6  # panels of a strip of decision regions

Span = tuple[float, float]


@dataclass
class Curves:
    """What was drawn.

    Attributes:
        files: all that were written.
        notes: what to know of them, one line each.
        onsets: a row per run whose loss was recorded at every step.
    """

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    onsets: pd.DataFrame = field(default_factory=pd.DataFrame)


def draw(directory: Path, output: Path, wanted: list[str], span: Span | None) -> Curves:
    """Draw the trajectories of a sweep directory.

    Args:
        output: where the figures go.
        wanted: conditions like ``period=100,amplitude=20``; empty: the first few runs.
        span: first and last step of the zoomed column; chosen by itself if None.

    Raises:
        AggregateError: nothing was recorded, or no run is as wanted.
    """
    runs, whole = load_frame([directory]), load_trajectories(directory)
    runs = runs[runs["id"].isin(whole["id"])] if len(runs) else runs
    if runs.empty:
        raise AggregateError(f"{directory}: no trajectories; record some with observe=curvature")
    output.mkdir(parents=True, exist_ok=True)
    by_run = {str(run): frame for run, frame in whole.groupby("id")}
    made = Curves()
    chosen = runs
    if wanted:
        fitting = [matching(runs, conditions(text, runs, "--run")) for text in wanted]
        chosen = runs[np.logical_or.reduce(fitting)]
    elif len(runs) > MOST_RUNS:
        made.notes.append(f"Drawn: the first {MOST_RUNS} of {len(runs)} runs; choose with --run.")
        chosen = runs.head(MOST_RUNS)
    names = dict.fromkeys([*varying(runs), "seed"])
    swept = [name for name in names if runs[name].nunique() > 1]
    for _, run in chosen.iterrows():
        frame = by_run[run["id"]].dropna(axis="columns", how="all")
        made.files += _draw_run(run, frame, output, swept, span)
    made.onsets = pd.DataFrame(list(_onsets(runs, by_run)))
    if len(made.onsets) and (runs["lr"].nunique() > 1 or runs["width"].nunique() > 1):
        _threshold(made, output)
    return made


def _draw_run(
    run: pd.Series, frame: pd.DataFrame, output: Path, swept: list[str], span: Span | None
) -> Iterator[Path]:
    """The figures of one run for which it has records."""
    from dynsweep.figures.bifurcation import draw_bifurcation
    from dynsweep.figures.decision_strip import Moment, animate_decisions, draw_decision_strip
    from dynsweep.figures.trajectory import draw_trajectory, present

    names = ["width", "lr", "period", "amplitude", "seed"]
    title = ", ".join(labels.assignment(name, run[name]) for name in names)
    label = "_".join(["", *(f"{name.rpartition('.')[2]}{run[name]:g}" for name in swept
                            if isinstance(run[name], int | float | np.number))])  # fmt: skip
    lr, period = float(run["lr"]), float(run["period"])
    if present(frame):
        zoom = span or interesting(frame, lr, period)
        yield from draw_trajectory(
            frame, output / f"trajectory{label}", lr, title, zoom, period=period
        )
    if {"loss_change", "sharpness"} <= set(frame.columns):
        yield from draw_bifurcation(
            frame, output / f"bifurcation{label}", lr, title, period=period, span=span
        )
    snapshots = load_snapshots(run["directory"], run["id"])
    if len(snapshots) < 2 or not len(drawable(run.to_frame().T)):
        return
    data = dataset_of(run)
    moments = [
        Moment(step, predictor_of(run, weights, data.shape, data.classes))
        for step, weights in sorted(snapshots.items())
        if span is None or span[0] <= step <= span[1]
    ]
    if not moments:
        return
    points, labels = data.train_inputs, data.train_labels
    places = np.unique(np.linspace(0, len(moments) - 1, STRIP).round().astype(int))
    yield from draw_decision_strip(
        [moments[k] for k in places], points, labels, output / f"decision_strip{label}", title
    )
    yield animate_decisions(moments, points, labels, output / f"decisions{label}.gif", title)


def interesting(frame: pd.DataFrame, lr: float, period: float) -> Span | None:
    """About the first instability, two fifths of a period or enough to hold 40 records; the first
    cycle if there is none."""
    at = float("nan")
    if {"loss_change", "sharpness"} <= set(frame.columns):
        at = onset(frame["step"], frame["loss_change"], frame["sharpness"]).step
    if np.isnan(at) and "sharpness" in frame:
        at = crossing(frame["step"], frame["sharpness"], lr)
    last = float(frame["step"].max())
    if np.isnan(at):
        return (0.0, period) if period < last else None
    spacing = float(frame["step"][frame["sharpness"].notna()].diff().median())
    wide = max(0.4 * period, 40 * spacing)
    return max(0.0, at - 0.25 * wide), min(last, at + 0.75 * wide)


def _onsets(
    runs: pd.DataFrame, by_run: dict[str, pd.DataFrame]
) -> Iterator[dict[str, float | str]]:
    """Where each run starts to bounce; runs that were not recorded closely enough are left out."""
    for _, run in runs.iterrows():
        frame = by_run[run["id"]]
        if not {"loss_change", "sharpness"} <= set(frame.columns):
            continue
        if (np.diff(frame["step"][frame["loss_change"].notna()]) == 1).mean() < 0.5:
            continue
        found = onset(frame["step"], frame["loss_change"], frame["sharpness"], loss=frame["loss"])
        settings = {name: run[name] for name in ("lr", "width", "period", "amplitude", "seed")}
        top = float(frame["sharpness"].max())
        yield {**settings, **found._asdict(), "largest_sharpness": top, "id": run["id"]}


def _threshold(made: Curves, output: Path) -> None:
    """The table, the figure and the exponents of the threshold."""
    from dynsweep.figures.threshold import draw_threshold

    path = output / "threshold.csv"
    made.onsets.to_csv(path, index=False)
    made.files.append(path)
    found = made.onsets.dropna(subset=["sharpness"])
    made.notes.append(f"{len(found)} of {len(made.onsets)} runs start to bounce.")
    for name, words, theory in (("lr", "learning rate", -1), ("width", "width", 0)):
        if found[name].nunique() > 1:
            # At equal values of the other setting: its mean is taken out.
            other = "width" if name == "lr" else "lr"
            logs = np.log(found["sharpness"])
            level = logs.groupby(found[other]).transform("mean")
            across = np.log(found[name])
            spread = across - across.groupby(found[other]).transform("mean")
            law = fit_power(np.exp(spread), np.exp(logs - level))
            made.notes.append(
                f"Sharpness at the onset goes as {words} to the power {law.exponent:.3f} "
                f"± {law.error:.3f} (standard error; claimed: {theory})."
            )
    if len(found):
        fixed = [n for n in ("period", "amplitude") if made.onsets[n].nunique() == 1]
        title = ", ".join(labels.assignment(name, made.onsets[name].iloc[0]) for name in fixed)
        made.files += draw_threshold(found, output / "threshold", title)
