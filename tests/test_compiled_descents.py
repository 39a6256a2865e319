"""The compiled engine with every descent, loss, minibatch and shape: against the reference engine,
which ``test_reference_engine`` and ``test_convolutional`` hold against PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import advance
from runs import make_run

from dynsweep.config import RunConfig
from dynsweep.data.base import Dataset, DatasetConfig
from dynsweep.engines import Session
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledEngine
from dynsweep.engines.devices import torch_settings
from dynsweep.engines.minibatches import ROUNDS, Minibatches, bits, keys, scrambled
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.training.probe import Probe

STEPS = 100


@dataclass(unsafe_hash=True)
class Points(DatasetConfig):
    """Random points of any number of inputs."""

    name: str = "points"
    inputs: int = 2
    classes: int = 3
    samples: int = 27

    def load(self) -> Dataset:
        rng = np.random.default_rng(0)
        points = rng.normal(size=(2, self.samples, self.inputs))
        labels = np.arange(self.samples) % self.classes
        return Dataset(points[0], labels, points[1], labels, self.classes)


# Inputs (0: spirals), classes, settings; of three runs the first has neither momentum nor decay.
CASES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "one input, momentum and decay": (1, 3, {"momentum": 0.9, "weight_decay": 0.01}),
    "many inputs and classes, Nesterov, minibatches": (
        8, 16, {"momentum": 0.9, "nesterov": True, "batch_size": 5, "weight_decay": 0.01},
    ),
    "squared error, no biases, minibatches": (
        2, 4, {"loss__name": "mean_squared_error", "bias": False, "batch_size": 20},
    ),
    "squared error, momentum": (3, 2, {"loss__name": "mean_squared_error", "momentum": 0.5}),
    "a rate that follows the curvature": (0, 3, {"optimizer.schedule.name": "sharpness"}),
}  # fmt: skip


def several(case: str, precision: str = "float64") -> list[RunConfig]:
    inputs, classes, settings = CASES[case]
    runs = []
    for seed in range(3):
        own = {
            name.replace("schedule__", "optimizer__schedule__"): v for name, v in settings.items()
        }
        if not seed and not settings.get("nesterov"):
            own |= {"momentum": 0.0, "weight_decay": 0.0}
        run = make_run(
            width=13, lr=0.1, period=7 + 5 * seed, amplitude=20.0, seed=seed, steps=STEPS,
            precision=precision, **own,
        )  # fmt: skip
        data = Points(inputs=inputs, classes=classes) if inputs else run.dataset
        runs.append(replace(run, dataset=data))
    return runs


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_settings(make_run(), "cpu"):
        yield


def trained(engine: Any, runs: list[RunConfig], steps: int = STEPS) -> Session:
    session: Session = engine.begin(Batch(tuple(runs)), "cpu")
    advance(session, steps, *runs)
    return session


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_reference_engine(case: str) -> None:
    runs = several(case)
    ours, theirs = (trained(engine, runs) for engine in (CompiledEngine(), ReferenceEngine()))
    for name, value in theirs.weights().items():
        size = np.abs(value).max()
        np.testing.assert_allclose(ours.weights()[name], value, rtol=1e-9, atol=1e-9 * size)
    probe = Probe(Batch(tuple(runs)), "cpu")
    probe.load(ours)
    for name, value in probe.metrics().items():
        np.testing.assert_allclose(ours.metrics()[name], value, rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_no_bit_depends_on_the_batch(case: str) -> None:
    """Nor on how the steps are cut, nor on a checkpoint between them."""
    runs = several(case)
    together = trained(CompiledEngine(), runs)
    for place in (0, 2):
        alone = trained(CompiledEngine(), [runs[place]], 50)
        going_on = CompiledEngine().begin(Batch((runs[place],)), "cpu")
        going_on.restore(50, alone.state())
        advance(going_on, 50, runs[place])
        for name, value in together.weights().items():
            assert np.array_equal(going_on.weights()[name][0], value[place]), name


def test_float32_to_rounding() -> None:
    case = "many inputs and classes, Nesterov, minibatches"
    single, double = (several(case, precision) for precision in ("float32", "float64"))
    ours = trained(CompiledEngine(), single, 10).weights()
    for name, value in trained(ReferenceEngine(), double, 10).weights().items():
        assert ours[name].dtype == np.float32
        np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 3, 27, 300])
def test_an_epoch_sees_every_sample_once(samples: int) -> None:
    batches = Minibatches([5, 6], samples, 1, False, torch.device("cpu"))
    seen = set()
    for epoch in range(20):
        batches.begin(epoch)
        for row in batches.order.tolist():
            assert sorted(row) == list(range(samples))
            seen.add(tuple(row))
    assert len(seen) > min(10, samples // 2)


def test_orders_are_random() -> None:
    """Every place is taken equally often by every sample, and neighbours are strangers."""
    samples, epochs = 30, 5000
    length, drawn = bits(samples), np.stack([keys([3], epoch)[:, 0] for epoch in range(epochs)])
    value = np.broadcast_to(np.arange(2**length), (epochs, 2**length))
    for number in range(ROUNDS):
        factor, summand = drawn[:, 2 * number, None], drawn[:, 2 * number + 1, None]
        value = scrambled(value, factor, summand, (length + 1) // 2, 2**length - 1)
    orders = value[value < samples].reshape(epochs, samples)
    counts = np.stack([np.bincount(column, minlength=samples) for column in orders.T])
    expected = epochs / samples
    assert 0.85 < ((counts - expected) ** 2).sum() / expected / (samples - 1) ** 2 < 1.15
    pairs = np.bincount((orders[:, :-1] * samples + orders[:, 1:]).ravel(), minlength=samples**2)
    pairs = pairs.reshape(samples, samples)[~np.eye(samples, dtype=bool)]
    assert 0.85 < ((pairs - pairs.mean()) ** 2).mean() / pairs.mean() < 1.15
