"""The reference engine under CUDA graphs, and the parts of it that need no GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from dynsweep.config import RunConfig, ScheduleConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.graphed import STEPS, GraphedEngine, GraphedSession
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.loss import class_weights

Make = Callable[..., RunConfig]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


class Rehearsal(GraphedSession):
    """What the graphs would replay, taken at once; runs anywhere."""

    def capture(self) -> dict[int, Callable[[], None]]:
        return {steps: partial(self.take, steps) for steps in (STEPS, 1)}


@pytest.mark.parametrize("counting", ["paper", "notebook"])
@pytest.mark.parametrize("last_period_static", [True, False])
def test_class_weights_of_tensor_steps_are_those_of_numbers(
    counting: str, last_period_static: bool
) -> None:
    period, amplitude = torch.tensor([1, 7, 40]), torch.tensor([5.0, 70.0, 1e6]).double()
    weights = partial(
        class_weights,
        period=period,
        amplitude=amplitude,
        classes=3,
        steps=150,
        last_period_static=last_period_static,
        counting=counting,
    )
    table = weights(torch.arange(150).unsqueeze(-1))
    assert table.shape == (150, 3, 3)
    for step in range(150):
        assert torch.equal(weights(torch.tensor(step)), weights(step))
        assert torch.equal(table[step], weights(step))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_time_on_the_device_changes_no_bit(make_run: Make, precision: str) -> None:
    settings = {"precision": precision, "width": 20, "samples_per_class": 9, "steps": 90}
    batch = Batch(tuple(make_run(**settings, period=7 + i, seed=i) for i in range(3)))
    rehearsed, reference = Rehearsal(batch, "cpu"), ReferenceEngine().begin(batch, "cpu")
    for steps in (1, 0, 2 * STEPS + 3, 22):
        rehearsed.advance(steps)
    reference.advance(90)
    assert rehearsed.step == rehearsed.clock == 90
    for name, value in reference.weights().items():
        assert np.array_equal(value, rehearsed.weights()[name])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "piecewise"])
def test_minibatches_and_schedules_change_no_bit(make_run: Make, schedule: str) -> None:
    """Across epochs, from time on the device; momentum, weight decay and warm-up included."""
    settings = {
        "width": 20, "samples_per_class": 25, "epochs": 9, "batch_size": 15, "momentum": 0.9,
        "nesterov": True, "weight_decay": 0.01, "lr": 0.1,
        "schedule": ScheduleConfig(schedule, warmup=0.2, milestones=(0.5,)),
    }  # fmt: skip
    batch = Batch(tuple(make_run(**settings, period=7 + i, seed=i) for i in range(3)))
    rehearsed, reference = Rehearsal(batch, "cpu"), ReferenceEngine().begin(batch, "cpu")
    for steps in (1, 3, 33, 8):
        rehearsed.advance(steps)
    reference.advance(45)
    assert rehearsed.step == rehearsed.clock == batch.steps == 45
    for name, value in reference.weights().items():
        assert np.array_equal(value, rehearsed.weights()[name])


def test_goes_on_from_a_state(make_run: Make) -> None:
    batch = Batch((make_run(width=20, samples_per_class=9, momentum=0.9, lr=0.1),))
    whole, first, second = (Rehearsal(batch, "cpu") for _ in range(3))
    whole.advance(50)
    first.advance(20)
    second.restore(20, first.state())
    second.advance(30)
    assert second.step == second.clock == 50
    for name, value in whole.weights().items():
        assert np.array_equal(value, second.weights()[name])


def test_obstacle_without_cuda(make_run: Make) -> None:
    assert GraphedEngine().obstacle(make_run(), "cpu") == "needs device=cuda"
    assert GraphedEngine().obstacle(make_run(), "cuda:0") is None
    followed = make_run(schedule=ScheduleConfig("sharpness"))
    assert "sharpness" in str(GraphedEngine().obstacle(followed, "cuda:0"))


@needs_cuda
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_graphs_against_the_reference_engine(make_run: Make, precision: str) -> None:
    batch = Batch(tuple(make_run(precision=precision, period=9 + i, seed=i) for i in range(5)))
    sizes = GraphedEngine().batch_size(batch.first, "cuda")
    assert sizes >= 1
    graphed, again = (GraphedEngine().begin(batch, "cuda") for _ in range(2))
    graphed.advance(70)
    for steps in (1, 33, 36):
        again.advance(steps)
    eager, exact = ReferenceEngine().begin(batch, "cuda"), ReferenceEngine().begin(batch, "cpu")
    eager.advance(70)
    exact.advance(70)
    rel, least = (1e-9, 1e-12) if precision == "float64" else (1e-2, 1e-3)
    for name, value in graphed.weights().items():
        assert np.array_equal(value, again.weights()[name])
        assert np.array_equal(value, eager.weights()[name])
        assert value == pytest.approx(exact.weights()[name], rel=rel, abs=least)
