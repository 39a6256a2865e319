"""Tables and figures of recorded landscapes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from dynsweep.analysis.valleys import (
    MEASURED,
    correlations,
    cycle_steps,
    one_cycle,
    sentences,
    valleys,
)
from dynsweep.cli.aggregate import write_csv
from dynsweep.figures import style
from dynsweep.figures.valleys import save_valley_animation, valley_depths, valley_profiles


def valley_tables(
    runs: pd.DataFrame, trajectories: Mapping[str, pd.DataFrame], output: Path
) -> tuple[list[Path], list[str]]:
    """The valleys of all runs, and how floor and width go together: files, and what they say."""
    table = valleys(runs, trajectories)
    if table.empty:
        return [], []
    files = [write_csv(table.round(6), output / "valleys.csv")]
    found = correlations(table)
    if len(found):
        files.append(write_csv(found.round(4), output / "valley_correlations.csv"))
    return files, sentences(found)


def draw_valleys(
    run: pd.DataFrame,
    steps: pd.DataFrame,
    reaches: tuple[float, float],
    output: Path,
    suffix: str,
    facts: str,
    span: tuple[float, float] | None,
) -> Iterator[Path]:
    """The valleys of one run, a table of one row, whose loss is dynamical.

    ``reaches`` are those of the profiles along the eigenvector and along the random direction.
    """
    if MEASURED not in steps or "profile_emphasised_0" not in steps:
        return
    settings = run.iloc[0]
    cycle, period = one_cycle(steps, settings, span), cycle_steps(settings)
    if len(cycle):
        for kind, reach in zip(("", "_random"), reaches, strict=True):
            figure = valley_profiles(cycle, reach, period, facts, random=bool(kind))
            yield from style.save_all(figure, output / f"valley_profiles{kind}{suffix}")
        path = output / f"valley{suffix}.gif"
        yield save_valley_animation(cycle, reaches[0], period, path, facts)
    table = valleys(run, {settings["id"]: steps}).dropna(subset=["cycle"])
    if len(table):
        figure = valley_depths(table, correlations(table), facts)
        yield from style.save_all(figure, output / f"valley_depths{suffix}")
