"""Other shapes and orders of the oscillation: what they promise, by hand, and on every engine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dynsweep.config import RunConfig
from dynsweep.engines import ENGINES
from dynsweep.engines.batches import Batch
from dynsweep.loss import ORDERS, SHAPES, class_weights, drawn_classes
from dynsweep.training.schedules import Schedule

Make = Callable[..., RunConfig]
DRAWN = np.stack([drawn_classes(seed, 60, 3) for seed in range(2)])


def weights(shape: str, order: str, amplitude: float = 5.0, classes: int = 3) -> Any:
    """``(seeds, steps, classes)``, T = 8."""
    drawn = DRAWN, np.array([[0], [1]])
    numbers = np.arange(400.0), np.array([[8.0], [8.0]]), np.array([[amplitude], [amplitude]])
    return class_weights(*numbers, classes, steps=10**6, shape=shape, order=order, drawn=drawn)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_sum_to_the_classes_and_are_one_at_amplitude_one(shape: str, order: str) -> None:
    np.testing.assert_allclose(weights(shape, order).sum(-1), 3, atol=1e-12)
    assert (weights(shape, order, amplitude=1.0) == 1).all()
    assert weights(shape, order).max() > 1.2


@pytest.mark.parametrize(
    ("shape", "expected"),  # at x = 0, 1/8, 1/4, 1/2, 3/4
    [
        ("triangle", (0, 1 / 4, 1 / 2, 1, 1 / 2)),
        ("sine", (0, (1 - 0.5**0.5) / 2, 1 / 2, 1, 1 / 2)),
        ("square", (0, 0, 1, 1, 0)),
        ("sawtooth", (0, 1 / 8, 1 / 4, 1 / 2, 3 / 4)),
    ],
)
def test_shapes_by_hand(shape: str, expected: tuple[float, ...]) -> None:
    x = np.array([0, 1 / 8, 1 / 4, 1 / 2, 3 / 4])
    np.testing.assert_allclose(SHAPES[shape](x), expected, atol=1e-15)
    np.testing.assert_allclose(SHAPES[shape](torch.as_tensor(x)), expected, atol=1e-15)
    cycle = (np.arange(1000) + 0.5) / 1000
    assert np.mean(SHAPES[shape](cycle)) == pytest.approx(1 / 2)  # they differ in shape alone


def test_orders_by_hand() -> None:
    # T = 8, A = 5, halfway: g = 5. One of three: 15 / 7 and 3 / 7; two of three: 15 / 11, 3 / 11.
    cyclic, random, others = (weights("triangle", order)[:, 4::8] for order in ORDERS)
    np.testing.assert_allclose(cyclic[0, 1], (3 / 7, 15 / 7, 3 / 7))
    np.testing.assert_allclose(others[0, 1], (15 / 11, 3 / 11, 15 / 11))
    assert (random.argmax(-1) == DRAWN[:, :50]).all()
    assert not (DRAWN[0] == DRAWN[1]).all()
    assert np.bincount(drawn_classes(7, 3000, 3)).min() > 900
    assert (drawn_classes(1, 10, 3) == DRAWN[1, :10]).all()  # a longer training begins alike


def test_a_random_order_does_not_depend_on_company_or_chunks(make_run: Make) -> None:
    settings = {"order": "random", "steps": 500, "amplitude": 9}
    runs = tuple(make_run(seed=seed, period=5 + 2 * seed, **settings) for seed in (3, 1, 3, 0))
    whole = Schedule(Batch(runs), "cpu").class_weights(0, 501)
    for place, run in enumerate(runs):
        alone = Schedule(Batch((run,)), "cpu")
        parts = [alone.class_weights(*part) for part in ((0, 100), (100, 1), (101, 400))]
        assert torch.equal(torch.cat(parts)[:, 0], whole[:, place])
    # The cycles of two runs with one seed have the same classes, whatever their period.
    first, third = (drawn_classes(3, 20, 3) for _ in range(2))
    assert (first == third).all()
    assert (whole[5::11, 0].argmax(-1)[:20].numpy() == first).all()


@pytest.mark.parametrize(("shape", "order"), [("square", "random"), ("sawtooth", "all_but_one")])
def test_every_engine_on_the_cpu_takes_them(make_run: Make, shape: str, order: str) -> None:
    ends = []
    for engine in (ENGINES[0], ENGINES[-1]):
        settings = {"width": 16, "period": 10, "steps": 40, "precision": "float64"}
        run = make_run(shape=shape, order=order, **settings)
        assert engine.obstacle(run, "cpu") is None
        batch = Batch((run, make_run(shape=shape, order=order, seed=4, **settings)))
        session = engine.begin(batch, "cpu")
        Schedule(batch, "cpu").advance(session, 40)
        ends.append(session.weights()["w1"])
    np.testing.assert_allclose(*ends, atol=1e-9)


def test_old_runs_stay_what_they_were(make_run: Make) -> None:
    assert make_run().identity() == make_run(shape="triangle", order="cyclic").identity()
    names = {make_run(shape=shape, order=order).identity() for shape in SHAPES for order in ORDERS}
    assert len(names) == len(SHAPES) * len(ORDERS)


@pytest.mark.slow
def test_shapes_and_orders_are_swept(
    tmp_path: Path, dynsweep: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    grid = ["loss.period=5", "loss.amplitude=1,9", "seed=0,1", "steps=30", "model.width=8"]
    done = dynsweep("+sweep=shapes", *grid, "hydra.sweep.dir=d", "report=false")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "d" / "results.csv")
    assert len(table) == 48
    dynamical = table[table["amplitude"] == 9]
    assert dynamical.groupby(["loss.shape", "loss.order"]).size().eq(2).all()
    losses = dynamical.groupby("seed")["train_loss"].nunique()
    assert (losses > 8).all()  # no two are the same training
    assert table[table["amplitude"] == 1].groupby("seed")["train_loss"].nunique().eq(1).all()
    refused = dynsweep("loss.shape=round")
    assert refused.returncode == 2
    line = (
        "dynsweep: error: loss.shape=round: must be one of triangle, sine, square, sawtooth, own"
    )
    assert refused.stderr.strip() == line
