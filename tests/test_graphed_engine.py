"""The reference engine under CUDA graphs, on a GPU.

What it shares with the others is in ``test_engines``; its code without one in
``test_cuda_rehearsal``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from by_hand import advance

from dynsweep.config import RunConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.graphed import GraphedEngine
from dynsweep.engines.reference import ReferenceEngine

Make = Callable[..., RunConfig]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


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
