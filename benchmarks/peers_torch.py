"""The run of the benchmark in PyTorch: as one would write it, and batched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from dynsweep.config import RunConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.training.schedules import Schedule


def one_run(run: RunConfig) -> Callable[[int], None]:
    """Ordinary code: a module, an optimiser and autograd; ``f(steps)`` trains on."""
    data = Batch((run,)).dataset
    inputs = torch.tensor(data.train_inputs, dtype=torch.float32)
    labels = torch.tensor(data.train_labels)
    model = nn.Sequential(nn.Linear(2, run.model.width), nn.ReLU(), nn.Linear(run.model.width, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=run.optimizer.lr)
    period, amplitude, now = run.loss.period, run.loss.amplitude, 0

    def train(steps: int) -> None:
        nonlocal now
        for step in range(now, now + steps):
            cycle, within = divmod(step, period)
            weights = torch.ones(3)
            weights[cycle % 3] = 1 + (amplitude - 1) * (1 - abs(2 * within / period - 1))
            weights = 3 * weights / weights.sum()
            optimizer.zero_grad()
            losses = functional.cross_entropy(model(inputs), labels, reduction="none")
            (weights[labels] * losses).mean().backward()
            optimizer.step()
        now += steps

    return train


def batched(runs: list[RunConfig]) -> Callable[[int], None]:
    """The reference engine: matrix products batched over runs, autograd."""
    batch = Batch(tuple(runs))
    return partial(Schedule(batch, "cpu").advance, ReferenceEngine().begin(batch, "cpu"))
