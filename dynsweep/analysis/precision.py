"""How precisely a cell's mean over seeds is known, also where few seeds all agree.

Three equal values have a standard error of zero, and tell little: a seed in ten may end elsewhere.
The distribution of a cell's values therefore has a Dirichlet process as its prior (Ferguson 1973,
Annals of Statistics 1, 209; without a prior it is Rubin's Bayesian bootstrap, 1981, Annals of
Statistics 9, 130). It asks for no shape: two modes are as good as one. The prior weighs as much as
``PRIOR_SEEDS`` seeds, and what it expects is what was found around the cell: an equal mixture of
the values in each neighbour, and in the whole diagram (empirical Bayes). In the middle of a region
where all seeds agree a cell is soon certain; beside a fringe it is not.

The posterior is a Dirichlet process again, with the weight of ``n + PRIOR_SEEDS`` seeds around a
mixture of variance V. The variance of a value has the posterior mean V (n + PRIOR_SEEDS) /
(n + PRIOR_SEEDS + 1), and the mean over n seeds that n-th part of it. The root of that is the
*error* of a cell: what its standard error is expected to be.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynsweep.analysis import grid
from dynsweep.analysis.columns import setting_columns

Floats = NDArray[np.float64]

PRIOR_SEEDS = 4.0
LEARNED = 0.8  # training accuracy from which on a seed counts as one that learned
NORMAL_95 = 1.959963984540054  # of the 95 % interval


def errors(counts: Floats, means: Floats, squares: Floats, pairs: NDArray[Any]) -> Floats:
    """The expected standard error of each cell's mean; infinite where nothing is known.

    Args:
        counts: values of each cell, ``(cells,)``.
        means: of a cell's values; anything where it has none.
        squares: mean squares of a cell's values.
        pairs: cells that are neighbours, ``(pairs, 2)``.
    """
    known = counts > 0
    if not known.any():
        return np.full(len(counts), np.inf)
    found = np.zeros((2, len(counts)))
    moments = np.where(known, [means, squares], 0.0)
    beside = np.zeros(len(counts))
    for one, other in (pairs.T, pairs.T[::-1]):
        np.add.at(beside, one, known[other])
        for row, values in zip(found, moments, strict=True):
            np.add.at(row, one, values[other])
    base = (found + moments[:, known].mean(axis=1, keepdims=True)) / (beside + 1)
    weight = counts + PRIOR_SEEDS
    mean, square = (PRIOR_SEEDS * base + counts * moments) / weight
    variance = np.maximum(square - mean**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error: Floats = np.sqrt(variance * weight / (weight + 1) / counts)
    return error


def neighbours(context: NDArray[Any], x: Floats, y: Floats, cell: NDArray[Any]) -> NDArray[Any]:
    """Pairs of cells next to each other along a row or a column, ``(pairs, 2)``.

    A cell may stand at several places, as the static loss does. All arguments: ``(places,)``.

    Args:
        context: equal where all settings but x and y are.
        x: where the place is.
        y: likewise.
        cell: index of the cell that stands there.
    """
    found = []
    for along, across in ((x, y), (y, x)):
        order = np.lexsort((along, across, context))
        first, second = order[:-1], order[1:]
        same = (context[first] == context[second]) & (across[first] == across[second])
        found.append(np.stack([cell[first], cell[second]], axis=1)[same])
    pairs = np.sort(np.concatenate(found), axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def with_errors(cells: pd.DataFrame, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Cells with the column ``METRIC_error`` for each metric: see :func:`errors`.

    Args:
        cells: with ``METRIC_mean``, ``_std`` and ``_count`` of their values.
        metrics: names of columns.
    """
    axes = [name for name in grid.choose_axes(cells) if name is not None]
    spread = grid.spread_static(cells.assign(_cell=np.arange(len(cells))), [])
    others = [name for name in setting_columns(cells) if name not in axes]
    context = spread.groupby(others, dropna=False, sort=False).ngroup().to_numpy()
    # A static run without a period stands beside none.
    at = [pd.factorize(spread[name], sort=True)[0].astype(float) for name in axes]
    x, y, *_ = [*at, np.zeros(len(spread)), np.zeros(len(spread))]
    pairs = neighbours(context, x, y, spread["_cell"].to_numpy())
    new = {}
    for metric in metrics:
        count, mean = (cells[f"{metric}_{name}"].to_numpy(float) for name in ("count", "mean"))
        variance = cells[f"{metric}_std"].fillna(0).to_numpy(float) ** 2
        square = mean**2 + variance * (count - 1) / np.maximum(count, 1)
        error = errors(count, mean, square, pairs)
        new[f"{metric}_error"] = np.where(np.isfinite(error), error, np.nan)
    return cells.assign(**new)


def wilson(successes: Floats, trials: Floats) -> tuple[Floats, Floats]:
    """The 95 % interval of a share (Wilson 1927): never empty, and within 0 and 1; NaN without
    trials."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share, z = successes / trials, NORMAL_95
        middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
        spread = np.sqrt(share * (1 - share) / trials + (z / trials / 2) ** 2)
        half = z / (1 + z**2 / trials) * spread
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def seeds_needed(error: float, count: float, wanted: float) -> int:
    """How many seeds a cell is to have, by the error that it has with ``count`` of them."""
    return math.ceil(count * (error / wanted) ** 2 - 1e-9)
