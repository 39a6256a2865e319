"""What the report page knows of a sweep, as compact JSON: columns instead of rows."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dynsweep.analysis import grid
from dynsweep.analysis.columns import QUANTITIES, mean_column, setting_columns, varying
from dynsweep.analysis.statistics import with_gains
from dynsweep.config import labels
from dynsweep.store import FAILED, STATUSES

# What the diagram can show, in words.
SHOWN = {
    name: labels.METRICS[name] if name in labels.METRICS
    else f"gain in {labels.METRICS[name.removeprefix('gain_')]}"
    for name in QUANTITIES
} | {"seconds": "seconds per run"}  # fmt: skip
MOST_RUNS = 50_000  # beyond this the page has cells alone


def payload(runs: pd.DataFrame, cells: pd.DataFrame, axes: Sequence[str | None]) -> dict[str, Any]:
    """Everything but the pictures.

    Args:
        runs: as :func:`dynsweep.analysis.frame.load_runs` gives them.
        cells: as :func:`dynsweep.analysis.statistics.cells`.
        axes: settings for the diagram's axes at first.

    Returns:
        ``axes`` (swept settings: name, words, sorted values, whether log-spaced), ``start``
        (places of the first two), ``fixed`` (the other settings), ``shown`` (quantities in
        words), ``cells`` (columns: ``at``, the index of each swept setting's value, counts of
        runs, and ``of`` each quantity mean, standard error and number of values), ``runs``
        (columns: index of the cell, seed, status, quantities, tokens of the command; None if
        they are too many), ``tokens`` (of all commands, once each), ``errors`` (by run),
        ``counts`` (by status).
    """
    swept = [name for name in varying(runs) if name != "seed"]
    described = [_axis(name, runs) for name in swept]
    numbers = cells[swept].assign(cell=np.arange(len(cells)))
    runs = with_gains(runs)
    runs["cell"] = runs[swept].merge(numbers, on=swept, how="left")["cell"] if swept else 0
    status = runs["status"].value_counts()
    tokens, commands = _commands(runs["overrides"]) if len(runs) <= MOST_RUNS else ([], [])
    columns = {**QUANTITIES, "seconds": "seconds"}
    return {
        "axes": described,
        "start": [swept.index(name) for name in axes if name in swept],
        "fixed": {
            name: _plain(runs[name].iloc[0])
            for name in setting_columns(runs)
            if name not in (*swept, "seed")
        },
        "shown": SHOWN,
        "statuses": STATUSES,
        "cells": {
            "at": [_places(cells[axis["name"]], axis["values"]) for axis in described],
            **{name: cells[column].tolist() for name, column in _COUNTS.items()},
            "of": _statistics(runs, cells),
        },
        "runs": None if len(runs) > MOST_RUNS else {
            "cell": runs["cell"].tolist(),
            "seed": runs["seed"].tolist(),
            "status": [STATUSES.index(name) for name in runs["status"]],
            **{name: _rounded(runs[column]) for name, column in columns.items()},
            "command": commands,
        },
        "tokens": tokens,
        "errors": {
            int(row): str(runs["error"].iloc[row])
            for row in np.flatnonzero(runs["status"] == FAILED) if len(runs) <= MOST_RUNS
        },
        "counts": {name: int(status.get(name, 0)) for name in STATUSES},
    }  # fmt: skip


_COUNTS = {"runs": "seeds", "diverged": "diverged", "failed": "failed"}


def _statistics(runs: pd.DataFrame, cells: pd.DataFrame) -> dict[str, dict[str, list[Any]]]:
    """Of each quantity what the table of cells says; of the seconds, which it lacks, the same."""
    groups = runs.groupby("cell")
    values = {
        name: (cells[mean_column(column)], cells[f"{column}_se"], groups[column].count())
        for name, column in QUANTITIES.items()
    }
    seconds = groups["seconds"]
    values["seconds"] = seconds.mean(), seconds.sem(), seconds.count()
    return {
        name: {"mean": _rounded(mean), "error": _rounded(error), "count": count.tolist()}
        for name, (mean, error, count) in values.items()
    }


def _axis(name: str, runs: pd.DataFrame) -> dict[str, Any]:
    scale = grid.scale(runs[name])
    values = [_plain(value) for value in scale.values] + [None] * bool(runs[name].isna().any())
    model = runs["model"].iloc[0] if "model" in runs else "mlp"
    return {
        "name": name,
        "label": labels.axis_label(name, model),
        "values": values,
        "words": [labels.number(value) for value in values],
        "log": bool(scale.log),
        "numeric": all(isinstance(v, int | float) and not isinstance(v, bool) for v in values),
    }


def _places(column: pd.Series, values: list[Any]) -> list[int]:
    places = {value: place for place, value in enumerate(values)}
    return [places[_plain(value)] for value in column]


def _plain(value: Any) -> Any:
    """A value that JSON has; whole floats as integers, missing ones as ``None``."""
    if pd.isna(value):
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | float | np.integer | np.floating):
        number = float(value)
        return int(number) if number.is_integer() else number
    return str(value)


def _rounded(column: pd.Series) -> list[float | None]:
    """Five digits; differences that should be zero differ from it in the last bits."""
    values = column.astype(float).mask(column.abs() < 1e-14, 0.0)
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in values]


def _commands(overrides: Iterable[str]) -> tuple[list[str], list[list[int]]]:
    """Words of all commands, quoted for a shell, and each run's command in places of words."""
    tokens: dict[str, int] = {}
    commands = [
        [tokens.setdefault(shlex.quote(word), len(tokens)) for word in text.split()]
        for text in overrides
    ]
    return list(tokens), commands
