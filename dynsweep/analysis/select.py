"""Choose among settings, runs and cells by what a user typed."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from dynsweep.analysis import grid
from dynsweep.analysis.columns import (
    COLUMNS,
    DYNAMICAL_SETTINGS,
    GAIN,
    QUANTITIES,
    mean_column,
    setting_columns,
)
from dynsweep.errors import AnalysisError
from dynsweep.store import FINISHED, METRICS


def check(name: str, allowed: Collection[str], argument: str, typed: str | None = None) -> str:
    """The name, if it is allowed; else :class:`AnalysisError` of what was typed for it."""
    if name not in allowed:
        raise AnalysisError(f"must be one of {', '.join(allowed)}", **{argument: typed or name})
    return name


def column(name: str, known: list[str], argument: str) -> str:
    """The one among the ``known`` columns that a short or dotted name means; else as above."""
    return check(COLUMNS.get(name, name), known, argument, name)


def obstacle(cells: pd.DataFrame, name: str) -> str:
    """Why there is no diagram of one of ``QUANTITIES``; empty if there is one."""
    if not cells[mean_column(QUANTITIES[name])].isna().all():
        return ""
    if cells[mean_column(name.removeprefix(GAIN))].isna().all():
        return "no run has a value"
    return "no static run (amplitude 1)" + " has a value" * bool((cells["amplitude"] == 1).any())


def check_runs(table: object) -> None:
    """Raise :class:`AnalysisError` unless it is a table of runs, as results.csv is."""
    wanted = "results: must be a table of runs, as load() gives it"
    if not isinstance(table, pd.DataFrame):
        raise AnalysisError(f"{wanted}, not {type(table).__name__}")
    if table.empty:
        raise AnalysisError("results: no runs")
    for name in ("dataset", "model", "amplitude", "seed", "status", *METRICS):
        if name not in table:
            raise AnalysisError(f"{wanted}; there is no column {name}")
        if name in ("amplitude", *METRICS) and not is_numeric_dtype(table[name]):
            raise AnalysisError(f"{wanted}; {name} holds no numbers")


def axes(
    cells: pd.DataFrame, x: str | None = None, y: str | None = None
) -> tuple[str | None, str | None]:
    """The axes asked for, short or dotted; those not asked for by the automatic choice.

    Raises:
        AnalysisError: no setting that varies, or twice the same.
    """
    chosen = grid.choose_axes(cells)
    if x is None and y is None:
        return chosen
    known = grid.swept(cells) or setting_columns(cells)
    x, y = (name and column(name, known, axis) for axis, name in (("x", x), ("y", y)))
    if x == y:
        raise AnalysisError("must be two different settings", x=x, y=y)
    free = [name for name in chosen if name not in (x, y, None)]
    return x or next(iter(free), None), y or next(reversed(free), None)


def conditions(text: str, runs: pd.DataFrame, argument: str) -> dict[str, str]:
    """``period=100,amplitude=20`` as values by column.

    Raises:
        AnalysisError: it looks otherwise, or no run has one of the values.
    """
    wanted: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise AnalysisError("must look like period=100,amplitude=20", **{argument: text})
        short = column(name.strip(), setting_columns(runs), argument)
        if not matching(runs, {short: value}).any():
            values = sorted(runs[short].dropna().unique().tolist())
            there = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
            raise AnalysisError(f"no run has {part}; there are {there}", **{argument: text})
        wanted[short] = value
    return wanted


def matching(table: pd.DataFrame, wanted: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which rows have these values; numbers also as text, missing ones equal to each other."""
    rows = np.ones(len(table), dtype=bool)
    for name, value in wanted.items():
        values = table[name]
        if not isinstance(value, str):
            equal = values.isna() if pd.isna(value) else values == value
        elif pd.api.types.is_bool_dtype(values):
            equal = values.astype(str).str.lower() == value.strip().lower()
        elif pd.api.types.is_numeric_dtype(values):
            number = pd.to_numeric(value, errors="coerce")
            held = values.to_numpy(float, na_value=np.nan)
            equal = pd.Series(np.isclose(held, number, rtol=1e-9, atol=0))
        else:
            equal = values.astype(str) == value.strip()
        rows &= equal.to_numpy(bool, na_value=False)
    return rows


def static_twin(table: pd.DataFrame, cell: pd.Series) -> pd.DataFrame:
    """Runs or cells of the static loss with all other settings as in ``cell``."""
    free = ("amplitude", "seed", *DYNAMICAL_SETTINGS)
    context = {name: cell[name] for name in setting_columns(table) if name not in free}
    return table[matching(table, {**context, "amplitude": 1})]


def best_cell(cells: pd.DataFrame) -> pd.Series | None:
    """The cell of highest mean validation accuracy, ties by training accuracy.

    Among dynamical cells if there are any, and among those with most finished seeds, or known as
    precisely as one of these: a lucky seed of a half-trained cell should not win, and one that
    needed few seeds may.
    """
    table = cells[cells["validation_accuracy_mean"].notna()]
    if (table["amplitude"] != 1).any():
        table = table[table["amplitude"] != 1]
    if table.empty:
        return None
    finished = table[list(FINISHED)].sum(axis=1)
    most = finished == finished.max()
    error = table["validation_accuracy_error"]
    table = table[most | (error <= error[most].max())]
    order = ["validation_accuracy_mean", "train_accuracy_mean"]
    # Equal means may differ in the last bit.
    ranks = table[order].round(9).sort_values(order, ascending=False, kind="stable")
    best: pd.Series = table.loc[ranks.index[0]]
    return best
