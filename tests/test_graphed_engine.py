"""The reference engine under CUDA graphs, and the parts of it that need no GPU.

What it shares with the others is in ``test_engines``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from by_hand import advance
from test_engines import Rehearsal

from dynsweep.config import RunConfig, ScheduleConfig
from dynsweep.engines import graphed
from dynsweep.engines.batches import Batch
from dynsweep.engines.graphed import GraphedEngine
from dynsweep.engines.reference import ReferenceEngine

Make = Callable[..., RunConfig]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.parametrize("schedule", ["constant", "cosine", "piecewise"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
def test_time_on_the_device_changes_no_bit(
    make_run: Make, schedule: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Across epochs and the rows of its tables; momentum, weight decay and warm-up included."""
    monkeypatch.setattr(graphed, "ROWS", 17)
    settings = {
        "width": 20, "samples_per_class": 25, "epochs": 9, "batch_size": 15, "momentum": 0.9,
        "nesterov": True, "weight_decay": 0.01, "lr": 0.1,
        "schedule": ScheduleConfig(schedule, warmup=0.2, milestones=(0.5,)),
    }  # fmt: skip
    runs = [make_run(**settings, period=7 + i, seed=i) for i in range(3)]
    for run in runs:
        run.loss.name = loss
    batch = Batch(tuple(runs))
    rehearsed, reference = Rehearsal(batch, "cpu"), ReferenceEngine().begin(batch, "cpu")
    for steps in (1, 3, 33, 8):
        advance(rehearsed, steps, *runs)
    advance(reference, 45, *runs)
    assert rehearsed.step == rehearsed.clock == batch.steps == 45
    for name, value in reference.weights().items():
        assert np.array_equal(value, rehearsed.weights()[name])


def test_goes_on_from_a_state(make_run: Make) -> None:
    run = make_run(width=20, samples_per_class=9, momentum=0.9, lr=0.1)
    batch = Batch((run,))
    whole, first, second = (Rehearsal(batch, "cpu") for _ in range(3))
    advance(whole, 50, run)
    advance(first, 20, run)
    second.restore(20, first.state())
    advance(second, 30, run)
    assert second.step == second.clock == 50
    for name, value in whole.weights().items():
        assert np.array_equal(value, second.weights()[name])


def test_obstacle_without_cuda(make_run: Make) -> None:
    assert GraphedEngine().obstacle(make_run(), "cpu") == "needs device=cuda"
    assert GraphedEngine().obstacle(make_run(), "cuda:0") is None


@needs_cuda
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_graphs_against_the_reference_engine(make_run: Make, precision: str) -> None:
    batch = Batch(tuple(make_run(precision=precision, period=9 + i, seed=i) for i in range(5)))
    sizes = GraphedEngine().batch_size(batch.first, "cuda")
    assert sizes >= 1
    replayed, again = (GraphedEngine().begin(batch, "cuda") for _ in range(2))
    advance(replayed, 70, *batch.runs, device="cuda")
    for steps in (1, 33, 36):
        advance(again, steps, *batch.runs, device="cuda")
    eager, exact = ReferenceEngine().begin(batch, "cuda"), ReferenceEngine().begin(batch, "cpu")
    advance(eager, 70, *batch.runs, device="cuda")
    advance(exact, 70, *batch.runs)
    rel, least = (1e-9, 1e-12) if precision == "float64" else (1e-2, 1e-3)
    for name, value in replayed.weights().items():
        assert np.array_equal(value, again.weights()[name])
        assert np.array_equal(value, eager.weights()[name])
        assert value == pytest.approx(exact.weights()[name], rel=rel, abs=least)
