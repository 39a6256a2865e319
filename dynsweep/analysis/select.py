"""Choose among settings, runs and cells by what a user typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynsweep.analysis.frame import SHORT
from dynsweep.analysis.grid import DYNAMICAL
from dynsweep.analysis.statistics import settings


class AggregateError(ValueError):
    """Something asked of the aggregator that the records cannot give; one line."""


def column(name: str, known: list[str], option: str) -> str:
    """The column that a short or dotted name means.

    Raises:
        AggregateError: naming the option and what is allowed.
    """
    found = SHORT.get(name, name)
    if found not in known:
        raise AggregateError(f"{option}={name}: must be one of {', '.join(known)}")
    return found


def conditions(text: str, frame: pd.DataFrame, option: str) -> dict[str, Any]:
    """``period=100,amplitude=20`` as values by column."""
    wanted: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise AggregateError(f"{option}={text}: must look like period=100,amplitude=20")
        name = column(name.strip(), settings(frame), option)
        if not matching(frame, {name: value}).any():
            values = sorted(frame[name].dropna().unique().tolist())
            held = ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values)
            raise AggregateError(f"{option}={text}: no run has {part}; there are {held}")
        wanted[name] = value
    return wanted


def matching(frame: pd.DataFrame, wanted: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which rows have these values; numbers also as text, NaN equal to NaN."""
    rows = np.ones(len(frame), dtype=bool)
    for name, value in wanted.items():
        values = frame[name]
        if isinstance(value, str):
            if pd.api.types.is_bool_dtype(values):
                rows &= (values.astype(str).str.lower() == value.strip().lower()).to_numpy()
            elif pd.api.types.is_numeric_dtype(values):
                number = pd.to_numeric(value, errors="coerce")
                rows &= np.isclose(values.to_numpy(float), number, rtol=1e-9, atol=0)
            else:
                rows &= (values.astype(str) == value.strip()).to_numpy()
        else:
            rows &= ((values == value) | (values.isna() & pd.isna(value))).to_numpy()
    return rows


def static_twin(frame: pd.DataFrame, cell: pd.Series) -> pd.DataFrame:
    """Runs or cells of the static loss with all other settings as in ``cell``."""
    free = ("amplitude", "seed", *DYNAMICAL)
    context = {name: cell[name] for name in settings(frame) if name not in free}
    return frame[matching(frame, {**context, "amplitude": 1})]


def best_cell(cells: pd.DataFrame) -> pd.Series | None:
    """The cell of highest mean validation accuracy, ties by training accuracy.

    Among dynamical cells if there are any, and among those with most finished seeds: a
    lucky seed of a half-trained cell should not win.
    """
    table = cells[cells["validation_accuracy_mean"].notna()]
    if (table["amplitude"] != 1).any():
        table = table[table["amplitude"] != 1]
    if table.empty:
        return None
    finished = table["completed"] + table["diverged"]
    table = table[finished == finished.max()]
    order = ["validation_accuracy_mean", "train_accuracy_mean"]
    # Equal means may differ in the last bit.
    ranks = table[order].round(9).sort_values(order, ascending=False, kind="stable")
    best: pd.Series = table.loc[ranks.index[0]]
    return best
