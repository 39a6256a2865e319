"""What the report page knows of a sweep, as compact JSON: columns instead of rows."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dynsweep.analysis import grid
from dynsweep.analysis.statistics import GAINS, settings, varying
from dynsweep.config import labels
from dynsweep.store.records import COMPLETED, DIVERGED, FAILED, METRICS

STATUSES = (COMPLETED, DIVERGED, FAILED)
# What can be shown in the diagram, in words.
SHOWN = {
    **labels.METRICS,
    **{f"gain_{name}": f"gain in {labels.METRICS[name]}" for name in GAINS},
    "seconds": "seconds per run",
}
MOST_RUNS = 50_000  # beyond this a row of the page is a cell


def payload(
    frame: pd.DataFrame, cells: pd.DataFrame, axes: Sequence[str | None]
) -> dict[str, Any]:
    """Everything but the figures.

    Args:
        frame: runs, as :func:`dynsweep.analysis.frame.load_frame` gives them.
        cells: as :func:`dynsweep.analysis.statistics.cells`.
        axes: settings for the diagram's axes at first.

    Returns:
        ``axes`` (swept settings: name, words, sorted values, whether log-spaced), ``fixed``
        (the other settings), ``rows`` (columns: index of each swept setting's value, seed,
        status, metrics rounded to 5 digits, gains, seconds, tokens of the command), ``tokens``
        (of all commands, once each), ``errors`` (by row), ``counts`` (by status).
    """
    swept = [name for name in varying(frame) if name != "seed"]
    scales = [_axis(name, frame, cells) for name in swept]
    whole = len(frame) <= MOST_RUNS
    rows = _with_gains(frame, swept) if whole else _of_cells(cells)
    tokens, commands = _commands(rows) if whole else ([], [])
    columns: dict[str, Any] = {
        "at": [
            _places(rows[name], axis["values"]) for name, axis in zip(swept, scales, strict=True)
        ],
        "seed": rows["seed"].tolist() if whole else [],
        "status": [STATUSES.index(one) for one in rows["status"]],
        **{name: _rounded(rows[name]) for name in SHOWN},
        "command": commands,
    }
    if not whole:
        columns["runs"] = cells["seeds"].tolist()
        columns["error"] = {n: _rounded(cells[f"{n}_se"]) for n in METRICS}
    failed = np.flatnonzero((frame["status"] == FAILED) & whole)
    status = frame["status"].value_counts()
    return {
        "axes": scales,
        "start": [swept.index(name) for name in axes if name in swept],
        "fixed": {
            n: _plain(frame[n].iloc[0]) for n in settings(frame) if n not in (*swept, "seed")
        },
        "shown": SHOWN,
        "statuses": STATUSES,
        "rows": columns,
        "tokens": tokens,
        "errors": {int(row): str(frame["error"].iloc[row]) for row in failed},
        "counts": {name: int(status.get(name, 0)) for name in STATUSES},
        "whole": whole,
    }


def _axis(name: str, frame: pd.DataFrame, cells: pd.DataFrame) -> dict[str, Any]:
    scale = grid.scale(frame[name])
    values: list[Any] = [_plain(value) for value in scale.values]
    if frame[name].isna().any():
        values.append(None)
    model = frame["model"].iloc[0] if "model" in frame else "mlp"
    return {
        "name": name,
        "label": labels.axis_label(name, model),
        "values": values,
        "words": [labels.number(value) for value in values],
        "log": bool(scale.log),
        "numeric": all(isinstance(v, int | float) and not isinstance(v, bool) for v in values),
    }


def _with_gains(frame: pd.DataFrame, swept: list[str]) -> pd.DataFrame:
    """Runs with their gain over the static run of the same seed and other settings."""
    context = [n for n in (*swept, "seed") if n not in ("amplitude", *grid.DYNAMICAL)]
    static = frame[frame["amplitude"] == 1].groupby(context, dropna=False)[list(GAINS)].mean()
    twin = frame[context].merge(static.reset_index(), on=context, how="left")
    # Differences of decimal fractions that should be equal differ in the last bits.
    gains = {f"gain_{n}": np.round(frame[n].to_numpy() - twin[n].to_numpy(), 10) for n in GAINS}
    return frame.assign(**gains)


def _of_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """A row for each cell that looks like a run: its means."""
    status = np.where(cells["completed"] > 0, COMPLETED, DIVERGED)
    status = np.where(cells["completed"] + cells["diverged"] > 0, status, FAILED)
    means = {name: cells[f"{name}_mean"] for name in METRICS}
    gains = {f"gain_{name}": cells[f"{name}_gain"] for name in GAINS}
    return cells.assign(status=status, seconds=math.nan, **means, **gains)


def _places(column: pd.Series, values: list[Any]) -> list[int]:
    known = {value: place for place, value in enumerate(values)}
    return [known[_plain(value)] for value in column]


def _plain(value: Any) -> Any:
    """A value that JSON has; whole floats as integers, missing ones as ``None``."""
    if value is None or value != value:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | float | np.integer | np.floating):
        number = float(value)
        return int(number) if number.is_integer() else number
    return str(value)


def _rounded(column: pd.Series) -> list[float | None]:
    return [float(f"{v:.5g}") if math.isfinite(v) else None for v in column.astype(float)]


def _commands(frame: pd.DataFrame) -> tuple[list[str], list[list[int]]]:
    """Words of all commands, quoted for a shell, and each run's command in places of words."""
    known: dict[str, int] = {}
    commands = []
    for text in frame["overrides"] if "overrides" in frame else [""] * len(frame):
        words = [word for word in str(text).split(" ") if word]
        commands.append([known.setdefault(shlex.quote(word), len(known)) for word in words])
    return list(known), commands
