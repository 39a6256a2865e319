"""What the report page knows of a sweep, as compact JSON: columns instead of rows."""

import math
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dynsweep.analysis import grid
from dynsweep.analysis.columns import (
    DYNAMICAL_SETTINGS,
    QUANTITIES,
    WORDS,
    mean_column,
    setting_columns,
    varying,
)
from dynsweep.analysis.statistics import with_gains
from dynsweep.analysis.variance import Variance, ranked
from dynsweep.config import labels
from dynsweep.store import FAILED, STATUSES

MOST_RUNS = 50_000  # beyond this the page has cells alone


def payload(
    runs: pd.DataFrame, cells: pd.DataFrame, axes: Sequence[str | None], finer: bool = False
) -> dict[str, Any]:
    """Everything but the pictures; ``axes`` are settings for the diagram's axes at first, and
    ``finer`` tells that cells have different sizes, and fill the diagram.

    Returns:
        ``axes`` (swept settings: name, words, sorted values, where these stand and the borders
        between them, whether log-spaced), ``finer``, ``start``
        (places of the first two), ``fixed`` (the other settings), ``shown`` (quantities in
        words), ``counts`` (runs by status), ``cells`` (columns: ``at``, the index of each swept
        setting's value, counts of runs, and ``of`` each quantity mean, standard error and number
        of values) and ``runs`` (columns: index of the cell, seed, status, quantities, tokens of
        the command; ``tokens`` of all commands, once each; ``errors`` by row), or None.
    """
    swept = [name for name in varying(runs) if name != "seed"]
    fixed = [name for name in setting_columns(runs) if name not in (*swept, "seed")]
    described = [_axis(name, runs, finer) for name in swept]
    numbers = cells[swept].assign(cell=np.arange(len(cells)))
    runs = with_gains(runs)
    runs["cell"] = runs[swept].merge(numbers, on=swept, how="left")["cell"] if swept else 0
    return {
        "axes": described,
        "finer": finer,
        "start": [swept.index(name) for name in axes if name in swept],
        "fixed": {name: _plain(runs[name].iloc[0]) for name in fixed},
        "shown": {name: WORDS[name] for name in QUANTITIES} | {"seconds": "seconds per run"},
        "statuses": STATUSES,
        "counts": runs["status"].value_counts().reindex(STATUSES, fill_value=0).to_dict(),
        "cells": {
            "at": [_places(cells[axis["name"]], axis["values"]) for axis in described],
            "runs": cells["seeds"].tolist(),
            "diverged": cells["diverged"].tolist(),
            "failed": cells["failed"].tolist(),
            "of": _statistics(runs, cells),
        },
        "runs": _runs(runs) if len(runs) <= MOST_RUNS else None,
    }


def bars(variance: Variance) -> dict[str, Any]:
    """Shares of the variance: ``effects`` in words, largest first, the ``shares`` of each
    accuracy by its words, and ``notes``."""
    shown = ranked(variance.table)
    known = shown.dropna(axis="columns", how="all")
    return {
        "effects": shown.index.tolist(),
        "shares": {WORDS[str(name)]: _rounded(values) for name, values in known.items()},
        "notes": variance.notes,
    }


def _runs(runs: pd.DataFrame) -> dict[str, Any]:
    tokens: dict[str, int] = {}
    return {
        "cell": runs["cell"].tolist(),
        "seed": runs["seed"].tolist(),
        "status": [STATUSES.index(name) for name in runs["status"]],
        **{name: _rounded(runs[column]) for name, column in QUANTITIES.items()},
        "seconds": _rounded(runs["seconds"]),
        # Words of the command, quoted for a shell, as places among those of all commands.
        "command": [
            [tokens.setdefault(shlex.quote(word), len(tokens)) for word in text.split()]
            for text in runs["overrides"]
        ],
        "tokens": list(tokens),
        "errors": runs.loc[runs["status"] == FAILED, "error"].astype(str).to_dict(),
    }


def _statistics(runs: pd.DataFrame, cells: pd.DataFrame) -> dict[str, dict[str, list[Any]]]:
    """Of each quantity what the table of cells says; of the seconds, which it lacks, the same."""
    groups = runs.groupby("cell")
    seconds = groups["seconds"]
    values = {"seconds": (seconds.mean(), seconds.sem(), seconds.count())} | {
        name: (cells[mean_column(column)], cells[f"{column}_se"], groups[column].count())
        for name, column in QUANTITIES.items()
    }
    return {
        name: {"mean": _rounded(mean), "error": _rounded(error), "count": count.tolist()}
        for name, (mean, error, count) in values.items()
    }


def _axis(name: str, runs: pd.DataFrame, finer: bool = False) -> dict[str, Any]:
    scale = grid.scale(runs[name])
    values = [_plain(value) for value in scale.values] + [None] * bool(runs[name].isna().any())
    if finer and len(scale.values) == len(values) > 1:  # at their true places
        stretched = np.log10 if scale.log else np.asarray
        at, edges = stretched(scale.positions).tolist(), stretched(scale.edges).tolist()
    else:
        at, edges = list(range(len(values))), [k - 0.5 for k in range(len(values) + 1)]
    return {
        "name": name,
        "label": labels.axis_label(name, runs["model"].iloc[0]),
        "values": values,
        "words": [labels.number(value) for value in values],
        "dynamical": name in DYNAMICAL_SETTINGS,
        "places": at,
        "edges": edges,
        "log": scale.log,
        "numeric": all(isinstance(v, int | float) and not isinstance(v, bool) for v in values),
    }


def _places(column: pd.Series, values: list[Any]) -> list[int]:
    places = {value: place for place, value in enumerate(values)}
    return [places[_plain(value)] for value in column]


def _plain(value: Any) -> Any:
    """A value that JSON has; whole floats as integers, missing ones as ``None``."""
    if pd.isna(value):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    number = float(value)
    return int(number) if number.is_integer() else number


def _rounded(column: pd.Series) -> list[float | None]:
    """Five digits; differences that should be zero differ from it in the last bits."""
    values = column.astype(float).mask(column.abs() < 1e-14, 0.0)
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in values]
