"""The onset's powers with the seed as the unit, and the sharpness measured only near it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from runs import make_run

from dynsweep.analysis.onsets import exponents
from dynsweep.config import ObserveConfig
from dynsweep.config.groups import OptimizerConfig, ScheduleConfig, SharpnessConfig
from dynsweep.engines import choose
from dynsweep.engines.batches import Batch
from dynsweep.training.driver import train
from dynsweep.training.observers import sharpness_steps


def steps(**settings: int) -> set[int]:
    return sharpness_steps(ObserveConfig(sharpness=SharpnessConfig(**settings)), 50)


def test_the_sharpness_is_measured_between_two_steps() -> None:
    assert steps(every=20) == {0, 20, 40, 50}
    assert steps(every=1, first=30, last=32) == {30, 31, 32}
    assert steps(every=20, first=30) == {30, 50}
    assert steps(every=1, first=60) == set()
    assert steps(every=30, last=70) == {0, 30, 50}


def test_powers_are_of_seeds() -> None:
    """A power that differs between seeds has their standard error, however exact each fit is."""
    grid = [(lr, h, s) for lr in (0.5, 1, 2) for h in (10, 100, 1000) for s in range(4)]
    table = pd.DataFrame(grid, columns=["lr", "width", "seed"])
    powers = np.array([-0.02, 0, 0.02, 0.04])
    table["sharpness"] = 2 / table["lr"] * table["width"] ** powers[table["seed"]]
    # Without a run, a fit of one setting alone would mistake one's effect for the other's.
    of_lr, of_width = exponents(table.drop(index=3))
    error = powers.std(ddof=1) / 2
    assert "power -1.000 ± 0.000" in of_lr
    assert f"power 0.010 ± {error:.3f} (standard error over 4 seeds; claimed: 0)" in of_width


def test_powers_of_one_seed_have_the_error_of_the_fit() -> None:
    table = pd.DataFrame({"lr": [0.5, 1, 2], "width": 10, "seed": 0, "sharpness": [4, 2.1, 1]})
    (line,) = exponents(table)
    assert "to the power -1.000 ± 0.0" in line
    assert "(standard error; claimed: -1)" in line


def test_a_learning_rate_that_follows_the_curvature_is_recorded() -> None:
    """That of the steps since the record before: the mean of the records is that of the steps."""
    changes = ScheduleConfig("sharpness", fraction=0.4, every=5, lowest=0.01, highest=100)
    observe = ObserveConfig(loss_every=5, sharpness=SharpnessConfig(every=5, order=10))
    run = make_run(optimizer=OptimizerConfig(lr=0.5, schedule=changes), observe=observe, steps=20)
    trajectory = train(Batch((run,)), choose(run, "cpu"), "cpu").trajectory
    at, rates = trajectory.column("learning_rate")
    measured, sharpness = trajectory.column("sharpness")
    assert 0 not in at
    steps, each = (
        [step for step in at.tolist() if step % 5 == 0],
        dict(zip(at, rates, strict=True)),
    )
    found = [float(each[step][0]) for step in steps]
    before = [float(0.8 / sharpness[measured.tolist().index(step - 5)][0]) for step in steps]
    np.testing.assert_allclose(found, before, rtol=1e-5)
