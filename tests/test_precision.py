"""How precisely cells are known: the prior's coverage, neighbours, and the seeds that learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sweeps import sweep

from dynsweep.analysis.frame import load_frame
from dynsweep.analysis.precision import PRIOR_SEEDS, errors, neighbours, seeds_needed, wilson
from dynsweep.analysis.statistics import cells

SIDE, LOW, HIGH = 20, 0.5, 0.95


def plane() -> np.ndarray:
    x, y = (at.ravel().astype(float) for at in np.indices((SIDE, SIDE)))
    cell = np.arange(SIDE**2)
    return neighbours(np.zeros(SIDE**2, int), x, y, cell)


def stopped(
    rng: np.random.Generator, learn: np.ndarray, wanted: float, prior: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors, means and seeds of cells, each with seeds until its error is as wanted."""
    values = np.where(rng.random((SIDE**2, 60)) < learn[:, None], HIGH, LOW)
    values += rng.normal(0, 0.01, values.shape)
    count, rows, pairs = np.full(SIDE**2, 3), np.arange(SIDE**2), plane()
    while True:
        mean = values.cumsum(axis=1)[rows, count - 1] / count
        square = (values**2).cumsum(axis=1)[rows, count - 1] / count
        plain = np.sqrt((square - mean**2).clip(0) / (count - 1))
        error = errors(count.astype(float), mean, square, pairs) if prior else plain
        more = (error > wanted) & (count < 60)
        if not more.any():
            return error, mean, count
        count = count + more


@pytest.mark.parametrize("width", [1.5, 4.0])
def test_the_prior_covers_bimodal_cells_where_standard_errors_do_not(width: float) -> None:
    """Cells of two modes, whose probability to learn is known: from never to always, with a
    fringe of cells as different as those of chaotic trainings."""
    rng = np.random.default_rng(0)
    at = np.repeat(np.linspace(-3 * width, 3 * width, SIDE), SIDE)
    learn = 1 / (1 + np.exp(-at - rng.normal(0, 0.7, SIDE**2)))
    truth = LOW + (HIGH - LOW) * learn
    fringe = (learn > 0.05) & (learn < 0.95)
    covered: dict[bool, list[float]] = {True: [], False: []}
    for prior in covered:
        for _ in range(4):
            error, mean, count = stopped(rng, learn, 0.05, prior)
            covered[prior].append(float((abs(mean - truth) <= 2 * error)[fringe].mean()))
        if prior:  # far from the fringe few seeds are enough
            assert count[(learn < 0.001) | (learn > 0.999)].mean() < 8 if width > 2 else True
            assert count[fringe].mean() > 10
    assert np.mean(covered[True]) > 0.9
    assert np.mean(covered[False]) < 0.6


@pytest.mark.parametrize("learn", [0.02, 0.1, 0.3, 0.5, 0.9])
def test_the_prior_covers_where_all_cells_are_alike(learn: float) -> None:
    """Neighbours are no better than a cell itself, and three equal values are the rule."""
    rng = np.random.default_rng(1)
    error, mean, _ = stopped(rng, np.full(SIDE**2, learn), 0.05, prior=True)
    truth = LOW + (HIGH - LOW) * learn
    assert (abs(mean - truth) <= 2 * error).mean() > 0.85
    assert np.sqrt(((mean - truth) ** 2).mean()) < 1.3 * 0.05


def test_the_error_is_that_of_the_posterior() -> None:
    """Against draws from the posterior Dirichlet process of two neighbouring cells."""
    rng = np.random.default_rng(2)
    cell, other = np.array([0.9, 0.9, 0.9]), np.array([0.5, 0.9])
    values, pairs = [cell, other], np.array([[0, 1]])
    moments = [np.array([f(one) for one in values]) for f in (len, np.mean)]
    square = np.array([np.mean(one**2) for one in values])
    error = errors(moments[0].astype(float), moments[1], square, pairs)[0]
    # The base: the neighbour, and the diagram of both cells, with equal weights.
    atoms = np.concatenate([cell, cell, other])
    base = PRIOR_SEEDS * np.array([1 / 12] * 3 + [1 / 8 + 1 / 4] * 2)
    weights = np.concatenate([np.ones(3), base])
    shares = rng.dirichlet(weights, size=200_000)
    mean = shares @ atoms
    variance = shares @ atoms**2 - mean**2
    assert error == pytest.approx(np.sqrt(variance.mean() / 3), rel=0.01)
    assert error > 0.03


def test_with_many_seeds_the_error_is_the_standard_error() -> None:
    values = np.random.default_rng(3).random(1000)
    none = np.empty((0, 2), int)
    error = errors(*(np.array([v]) for v in (1000.0, values.mean(), (values**2).mean())), none)
    assert error[0] == pytest.approx(stats.sem(values), rel=0.005)
    assert seeds_needed(error[0], 1000, error[0] / 2) == 4000
    assert np.isinf(errors(np.zeros(2), np.zeros(2), np.zeros(2), none)).all()


def test_neighbours_are_the_next_in_a_row_or_a_column() -> None:
    """Two diagrams; in the second a cell stands at two places, and there is a gap."""
    context = np.array([0, 0, 0, 1, 1, 1, 1])
    x, y = np.array([0.0, 1, 1, 0, 1, 0, 5]), np.array([0.0, 0, 1, 0, 0, 1, 1])
    cell = np.array([0, 1, 2, 3, 3, 4, 5])
    assert neighbours(context, x, y, cell).tolist() == [[0, 1], [1, 2], [3, 4], [4, 5]]


def test_wilson_is_scipys() -> None:
    for learned, count in ((0, 3), (3, 3), (4, 10), (50, 50)):
        low, high = wilson(np.array([float(learned)]), np.array([float(count)]))
        wanted = stats.binomtest(learned, count).proportion_ci(method="wilson")
        assert (low[0], high[0]) == pytest.approx((wanted.low, wanted.high))
    assert np.isnan(wilson(np.zeros(1), np.zeros(1))[0]).all()


def test_cells_tell_which_share_of_the_seeds_learns(tmp_path: Path) -> None:
    axes = {"amplitude": [1, 10], "period": [10, 100], "seed": range(4)}
    failed = {"amplitude": 10, "period": 100, "seed": 3}
    sweep(tmp_path, axes, lambda at: "failed" if failed.items() <= at.items() else "completed")
    runs = load_frame([tmp_path])
    learns = (runs["amplitude"] == 10) & (runs["seed"] > 0)
    runs["train_accuracy"] = learns * 0.5 + 0.5
    runs.loc[runs["status"] == "failed", "train_accuracy"] = np.nan
    table = cells(runs).set_index(["period", "amplitude"])
    assert table["learning_share"].to_list() == [0, 0.75, 0, pytest.approx(2 / 3)]
    assert (table["learning_threshold"] == 0.8).all()
    low, high = stats.binomtest(3, 4).proportion_ci(method="wilson")
    row = table.loc[(10, 10)]
    assert (row["learning_low"], row["learning_high"]) == pytest.approx((low, high))
    quiet = table.loc[(10, 1)]  # all its seeds agree; those above it do not
    assert quiet["train_accuracy_se"] == 0
    assert quiet["train_accuracy_error"] > 0.02
    assert isinstance(table, pd.DataFrame)
