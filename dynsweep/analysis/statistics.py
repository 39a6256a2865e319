"""Statistics over seeds: the table of cells, and the gain over the static loss."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from dynsweep.analysis import precision
from dynsweep.analysis.columns import ACCURACIES, DYNAMICAL_SETTINGS, setting_columns, varying
from dynsweep.analysis.frame import ordered
from dynsweep.store import FAILED, METRICS, STATUSES


def cells(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of the grid: all settings but the seed, then statistics over seeds.

    Columns after the settings: ``seeds`` (runs recorded), ``completed``, ``diverged``,
    ``failed``; for each metric its ``_mean``, ``_std`` (n - 1) and ``_se`` over the runs
    where it is finite (a diverged run has an accuracy but no loss); for the two accuracies
    the gain over the static loss, see :func:`gains`, and the ``_error``, see
    :mod:`dynsweep.analysis.precision`. Last the share of seeds that learn, ``learning_share``,
    with its 95 % interval (Wilson) from ``learning_low`` to ``learning_high``: of the seeds that
    did not fail those whose training accuracy is at least ``learning_threshold``.

    Args:
        runs: as :func:`dynsweep.analysis.frame.load_runs` gives them, all or some of its rows.
    """
    keys = [name for name in setting_columns(runs) if name != "seed"]
    # Constant settings need no grouping; with none swept, any constant groups all rows.
    by = [name for name in varying(runs) if name != "seed"] or keys[:1]
    work = runs[[*by, *METRICS]].assign(**{name: runs["status"] == name for name in STATUSES})
    # One that ended without an accuracy did not learn; of one that failed nothing is known.
    work["learned"] = (runs["train_accuracy"] >= precision.LEARNED).where(runs["status"] != FAILED)
    groups = work.groupby(by, dropna=False, sort=False, observed=True)
    counts = {"seeds": (FAILED, "size"), **{name: (name, "sum") for name in STATUSES}}
    statistics = {"mean": "mean", "std": "std", "se": "sem"}
    moments = {f"{m}_{name}": (m, how) for m in METRICS for name, how in statistics.items()}
    table = groups.agg(**counts, **moments).astype(dict.fromkeys(counts, int))
    values = {f"{m}_count": groups[m].count() for m in METRICS}
    learning = groups["learned"].agg(["sum", "count"]).astype(float)
    table = table.join(gains(runs, by)).assign(**values).reset_index()
    table = table.merge(runs[keys].drop_duplicates(by), on=by, how="left")
    table = precision.with_errors(table, METRICS)
    table = table.drop(columns=list(values)).assign(**_learning(learning))
    return ordered(table[[*keys, *(name for name in table if name not in keys)]])


def _learning(seeds: pd.DataFrame) -> dict[str, Any]:
    """The columns of the seeds that learn, from their ``sum`` and ``count`` in each cell."""
    learned, count = seeds["sum"].to_numpy(), seeds["count"].to_numpy()
    low, high = precision.wilson(learned, count)
    with np.errstate(invalid="ignore"):
        share = learned / count
    return {
        "learning_threshold": precision.LEARNED,
        "learning_share": share,
        "learning_low": low,
        "learning_high": high,
    }


def with_gains(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with ``train_accuracy_gain`` and ``validation_accuracy_gain`` over the static loss.

    The static loss is amplitude 1 with the seed and all other settings equal, except those
    that mean nothing there: trained at every period of a grid, it counts by its mean. Runs of
    one seed start from the same weights and see the same data. NaN without a static run.
    """
    context = [name for name in varying(runs) if name not in ("amplitude", *DYNAMICAL_SETTINGS)]
    context = context if "seed" in context else [*context, "seed"]
    static = runs[runs["amplitude"] == 1].groupby(context, dropna=False)[list(ACCURACIES)].mean()
    # A setting that only some models have may be missing in all static runs: another dtype.
    keyed = static.reset_index().astype(runs[context].dtypes.to_dict())
    twins = runs[context].merge(keyed, on=context, how="left")
    gained = {
        f"{name}_gain": runs[name].to_numpy() - twins[name].to_numpy() for name in ACCURACIES
    }
    return runs.assign(**gained)


def gains(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Gain in accuracy over the static loss, with its significance, for each cell.

    The differences are taken seed by seed, see :func:`with_gains`, and tested by a paired,
    two-sided t-test (as ``scipy.stats.ttest_rel``). Fewer than two pairs have no p-value. Where
    all differences are equal (accuracies are multiples of 1 / samples) the t-test has none
    either; p is then 1 for no difference, and otherwise the exact sign-flip test's
    2^(1 - pairs).

    A diagram has many cells, some of which pass any single test by chance:
    ``_gain_p_corrected`` is Benjamini and Hochberg's, over all cells with a p-value.

    Returns:
        Indexed by ``by``: ``<metric>_gain``, ``_gain_se``, ``_gain_pairs``, ``_gain_p`` and
        ``_gain_p_corrected``. Static cells gain 0 and have no p-value; without static runs
        all gains are NaN.
    """
    work = with_gains(runs).assign(is_static=runs["amplitude"] == 1)
    groups = work.groupby(by, dropna=False, sort=False, observed=True)
    dynamical = ~groups["is_static"].all()
    table = pd.DataFrame(index=dynamical.index)
    for name in (f"{metric}_gain" for metric in ACCURACIES):
        mean, error, pairs = (groups[name].agg(how) for how in ("mean", "sem", "count"))
        p = paired_p_value(mean.to_numpy(float), error.to_numpy(float), pairs.to_numpy())
        table[name] = mean.where(dynamical | mean.isna(), 0.0)
        table[f"{name}_se"] = error.where(dynamical)
        table[f"{name}_pairs"] = pairs.where(dynamical, 0)
        table[f"{name}_p"] = np.where(dynamical, p, np.nan)
        table[f"{name}_p_corrected"] = corrected(table[f"{name}_p"].to_numpy())
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
