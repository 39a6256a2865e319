"""Statistics over seeds: the table of cells, and the gain over the static loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from dynsweep.analysis.frame import SHORT
from dynsweep.analysis.grid import DYNAMICAL
from dynsweep.config import SCIENCE
from dynsweep.store.records import COMPLETED, DIVERGED, FAILED, METRICS

GAINS = ("train_accuracy", "validation_accuracy")


def settings(frame: pd.DataFrame) -> list[str]:
    """The columns of ``frame`` that are settings, in the order of ``SHORT``, then by name."""
    short = [name for name in SHORT.values() if name in frame]
    rest = [name for name in frame if str(name).partition(".")[0] in SCIENCE and name not in short]
    return short + sorted(str(name) for name in rest)


def varying(frame: pd.DataFrame) -> list[str]:
    """The settings with more than one value among the rows of ``frame``."""
    return [name for name in settings(frame) if frame[name].nunique(dropna=False) > 1]


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of the grid: all settings but the seed, then statistics over seeds.

    Columns after the settings: ``seeds`` (runs recorded), ``completed``, ``diverged``,
    ``failed``; for each metric its ``_mean``, ``_std`` (n - 1) and ``_se`` over the runs
    where it is finite (a diverged run has an accuracy but no loss); for the two accuracies
    the gain over the static loss, see :func:`gains`.

    Args:
        frame: runs, as :func:`dynsweep.analysis.frame.load_frame` gives them.
    """
    keys = [name for name in settings(frame) if name != "seed"]
    swept = [name for name in varying(frame) if name != "seed"]
    # Constant settings need no grouping; with none swept, any constant groups all rows.
    by = swept or keys[:1]
    work = frame[[*by, *METRICS]].copy()
    for status in (COMPLETED, DIVERGED, FAILED):
        work[status] = frame["status"] == status
    groups = work.groupby(by, dropna=False, sort=False, observed=True)
    table = groups[[COMPLETED, DIVERGED, FAILED]].sum().astype(int)
    table.insert(0, "seeds", groups.size())
    for metric in METRICS:
        values = groups[metric]
        table[f"{metric}_mean"] = values.mean()
        table[f"{metric}_std"] = values.std()
        table[f"{metric}_se"] = values.sem()
    table = table.join(gains(frame, by)).reset_index()
    statistics = [name for name in table if name not in keys]
    fixed = {name: frame[name].iloc[0] if len(frame) else None for name in keys if name not in by}
    table = table.assign(**fixed)
    return ordered(table[[*keys, *statistics]], keys)


def gains(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Gain in accuracy over the static loss, with its significance, for each cell.

    The static loss is amplitude 1 with all other settings equal, except those that mean
    nothing there (``DYNAMICAL``): one that was trained at every period of a grid counts once
    per seed. Runs of one seed start from the same weights and see the same data, so the
    differences are taken seed by seed and tested by a paired, two-sided t-test (as
    ``scipy.stats.ttest_rel``). Fewer than two pairs have no p-value. Where all differences
    are equal (accuracies are multiples of 1 / samples) the t-test has none either; p is then
    1 for no difference, and otherwise the exact sign-flip test's 2^(1 - pairs).

    A diagram has many cells, some of which pass any single test by chance:
    ``_gain_p_corrected`` is Benjamini and Hochberg's, over all cells with a p-value.

    Returns:
        Indexed by ``by``: ``<metric>_gain``, ``_gain_se``, ``_gain_pairs``, ``_gain_p`` and
        ``_gain_p_corrected``. Static cells gain 0 and have no p-value; without static runs
        all gains are NaN.
    """
    context = [name for name in varying(frame) if name not in ("amplitude", *DYNAMICAL)]
    context = context if "seed" in context else [*context, "seed"]
    is_static = frame["amplitude"] == 1
    static = frame[is_static].groupby(context, dropna=False)[list(GAINS)].mean()
    static = static.add_prefix("static_").reset_index()
    columns = list(dict.fromkeys([*by, *context]))
    paired = frame[[*columns, *GAINS]].merge(static, on=context, how="left")
    paired["_static"] = is_static.to_numpy()
    for metric in GAINS:
        paired[metric] -= paired[f"static_{metric}"]
    groups = paired.groupby(by, dropna=False, sort=False, observed=True)
    table = pd.DataFrame(index=groups.size().index)
    dynamical = ~groups["_static"].all().to_numpy()
    for metric in GAINS:
        name, differences = f"{metric}_gain", groups[metric]
        mean = np.asarray(differences.mean(), dtype=np.float64)
        error = np.asarray(differences.sem(), dtype=np.float64)
        pairs = np.asarray(differences.count(), dtype=np.int64)
        p = np.where(dynamical, paired_p_value(mean, error, pairs), np.nan)
        table[name] = np.where(dynamical | np.isnan(mean), mean, 0.0)
        table[f"{name}_se"] = np.where(dynamical, error, np.nan)
        table[f"{name}_pairs"] = np.where(dynamical, pairs, 0)
        table[f"{name}_p"] = p
        table[f"{name}_p_corrected"] = corrected(p)
    return table


def paired_p_value(
    mean: NDArray[np.float64], error: NDArray[np.float64], pairs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Two-sided p-value of differences with this mean and standard error; see :func:`gains`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(pairs - 1, -np.abs(mean / error))
    # Differences of decimal fractions that should be equal differ in the last bits.
    equal = error < 1e-9
    exact = np.where(np.abs(mean) < 1e-9, 1.0, 2.0 ** (1 - pairs))
    return np.where(pairs < 2, np.nan, np.where(equal, exact, p))


def corrected(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini-Hochberg adjusted p-values; NaN where ``p`` is.

    Equal to ``scipy.stats.false_discovery_control`` (tested), whose import takes a second.
    """
    result = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(-p[known], kind="stable")]
    ranks = np.arange(len(order), 0, -1)
    result[order] = np.minimum.accumulate(np.minimum(1, p[order] * len(order) / ranks))
    return result


def ordered(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Rows sorted by the columns ``by``; values that do not compare, by their text."""

    def key(column: pd.Series) -> pd.Series:
        plain = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        return column if plain else column.astype(str)

    present = [name for name in by if name in table]
    return table.sort_values(present, key=key, kind="stable").reset_index(drop=True)
