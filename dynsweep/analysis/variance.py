"""What matters: the variance of the accuracies over a full grid, split among the settings.

On a full grid the analysis of variance is exact. Every value of a setting counts equally. What a
run reaches is the mean over the grid, plus a main effect of each setting (the mean over all other
settings, less the grid's), plus an effect of each pair beyond these two, and so on, plus what its
seed adds. Effects are orthogonal: their variances add up. A main effect's part of the variance
between cells is the first-order Sobol index of the setting.

Means over a few seeds are noisy, and noise looks like effects. The variance of an effect is
therefore estimated by the mean product of what two different seeds say of it, over all pairs of
seeds: without bias, also where the runs of a seed have something in common, such as their initial
weights, or a static run that stands at all periods. An effect that is none may come out slightly
negative.
"""

import math
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynsweep.analysis import grid
from dynsweep.analysis.columns import ACCURACIES, DYNAMICAL_SETTINGS
from dynsweep.config.labels import axis_label
from dynsweep.errors import AnalysisError

MAIN, PAIR, HIGHER, SEEDS = "main", "pair", "higher", "seeds"
NAMES = ["effect", "setting", "second_setting"]
COLUMNS = ["metric", *NAMES, "variance", "share", "sobol_index"]
MOST_PAIRS, SHOWN = 3, 0.01  # that are shown one by one, with at least this share


class Variance(NamedTuple):
    """What settings explain.

    Attributes:
        table: for each accuracy a row for every ``effect``: ``main``, of a ``setting``; ``pair``,
            of it with a ``second_setting``; ``higher``, of three or more; ``seeds``. ``share`` is
            the part of the variance of all runs, ``sobol_index`` that of the variance between
            cells: both add up to 1. Empty if the grid is not full.
        notes: what a reader has to know, one line each.
    """

    table: pd.DataFrame
    notes: list[str]


def shares(runs: pd.DataFrame, cells: pd.DataFrame) -> Variance:
    """The parts of the variance of both accuracies.

    The static loss, to which settings such as the period mean nothing, stands at all their values.

    Args:
        runs: a row per run.
        cells: their table of :func:`dynsweep.analysis.statistics.cells`.
    """
    spread = grid.spread_static(cells, [])
    factors = grid.panel_settings(spread, [])
    notes: dict[str, None] = {}
    if tied := [name for name in grid.swept(spread) if name not in factors]:
        notes[f"No share of variance of their own: {', '.join(tied)}; others decide them."] = None
    rows: list[tuple[object, ...]] = []
    for metric in ACCURACIES if factors else ():
        try:
            values, seeds = on_grid(runs, factors, metric)
        except AnalysisError as error:
            notes[f"No shares of variance: {error}."] = None
            continue
        if len(values) == 1:
            notes["Shares of variance: of one seed, whose noise passes for effects."] = None
        elif len(values) < seeds:
            text = f"Shares of variance: of the {len(values)} of {seeds} seeds in all cells."
            notes[text] = None
        parts = list(decompose(values))
        between = sum(value for effect, _, value in parts if effect != SEEDS)
        whole = sum(value for *_, value in parts)
        for effect, axes, value in parts if whole > 1e-18 else ():
            index = value / between if effect != SEEDS and between > 1e-18 else None
            names = [factors[axis] for axis in axes] + [""] * (2 - len(axes))
            rows.append((metric, effect, *names, value, value / whole, index))
    return Variance(pd.DataFrame(rows, columns=COLUMNS), list(notes))


def ranked(variance: pd.DataFrame) -> pd.DataFrame:
    """The shares to show: a column per accuracy, a row per effect in words. The largest come
    first, the smaller interactions are one row, and the seeds are the last."""
    wide = variance.pivot(index=NAMES, columns="metric", values="share")
    wide = wide.reindex(columns=list(ACCURACIES))
    wide = wide.loc[wide.mean(axis=1).sort_values(ascending=False).index]
    kinds = wide.index.get_level_values("effect")
    pairs = wide[(kinds == PAIR) & (wide.mean(axis=1) >= SHOWN)].index[:MOST_PAIRS]
    shown = wide[(kinds == MAIN) | wide.index.isin(pairs)]
    others = wide[(kinds == HIGHER) | ((kinds == PAIR) & ~wide.index.isin(pairs))]
    together = others.sum(min_count=1).to_frame((HIGHER, "", "")).T
    table = pd.concat([shown, together if len(others) > 1 else others, wide[kinds == SEEDS]])
    return table.set_axis([_words(*effect) for effect in table.index])


def _words(effect: str, *settings: str) -> str:
    if effect in (HIGHER, SEEDS):
        return "other interactions" if effect == HIGHER else "seeds"
    names = [axis_label(name).partition(" (")[0] for name in settings if name]
    return ", ".join(names) + " together" * (effect == PAIR)


def on_grid(
    runs: pd.DataFrame, factors: list[str], metric: str
) -> tuple[NDArray[np.float64], int]:
    """A metric by seed and settings: ``(seeds, values of the first setting, ...)``.

    Of the seeds, whose number is returned too, the array holds those that have all cells.

    Raises:
        AnalysisError: some cell has no result, or no seed has all cells.
    """
    rows = runs[[*dict.fromkeys([*factors, "amplitude", "seed"]), metric]]
    dynamical = rows[rows["amplitude"] != 1]
    # Of equal static runs one with a value.
    rows = grid.spread_static(rows.assign(seeds=rows[metric].notna().astype(int)), [])
    for name in factors:
        if name in DYNAMICAL_SETTINGS and len(dynamical):
            # Static runs of a seed that has no others stand where they were trained.
            rows = rows[rows[name].isin(dynamical[name])]
    places = [pd.factorize(rows[name], sort=True, use_na_sentinel=False) for name in factors]
    shape = [len(values) for _, values in places]
    rows = rows.assign(**{name: at for name, (at, _) in zip(factors, places, strict=True)})
    rows = rows.dropna(subset=[metric])
    size, found = math.prod(shape), len(rows[factors].drop_duplicates())
    if found < size:
        words = f"{size - found:,} of {size:,} cells without a result"
        raise AnalysisError(f"the grid is not full, {words}")
    counts = rows.groupby("seed").size()
    complete = counts.index[counts == size]
    if complete.empty:
        raise AnalysisError(f"no seed has a result in all {size:,} cells")
    rows = rows[rows["seed"].isin(complete)]
    values = np.empty((len(complete), *shape))
    seed = complete.get_indexer(pd.Index(rows["seed"]))
    values[(seed, *rows[factors].to_numpy(int).T)] = rows[metric]
    return values, len(counts)


def decompose(values: NDArray[np.float64]) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """The variances of all effects: kind, which axes of settings, variance.

    They add up to that of a run, at any place of the grid and with any seed.

    Args:
        values: ``(seeds, values of the first setting, values of the second, ...)``.
    """
    settings = range(values.ndim - 1)

    def mean(*kept: int) -> NDArray[np.float64]:
        """Of every seed, over all settings but these."""
        others = tuple(axis + 1 for axis in settings if axis not in kept)
        means: NDArray[np.float64] = values.mean(axis=others, keepdims=True)
        return means

    main = {axis: mean(axis) - mean() for axis in settings}
    rest = _variance(values - mean())
    for axis, effect in main.items():
        yield MAIN, (axis,), (found := _variance(effect))
        rest -= found
    for one, other in combinations(settings, 2):
        effect = mean(one, other) - mean() - main[one] - main[other]
        yield PAIR, (one, other), (found := _variance(effect))
        rest -= found
    if len(settings) > 2:
        yield HIGHER, (), rest
    if len(values) > 1:
        yield SEEDS, (), float(values.var(axis=0, ddof=1).mean())


def _variance(effect: NDArray[np.float64]) -> float:
    """Of an effect ``(seeds, ...)``: the mean product of two seeds' estimates, over all pairs of
    seeds and the grid; the square of the one that there is."""
    seeds = len(effect)
    squares = float((effect**2).sum(axis=0).mean())
    if seeds == 1:
        return squares
    return (float((effect.sum(axis=0) ** 2).mean()) - squares) / (seeds * (seeds - 1))
