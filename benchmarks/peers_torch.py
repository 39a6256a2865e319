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
    """Ordinary code: a module, an optimiser and autograd; ``f(steps)`` trains on.

    Schedules and momentum are PyTorch's own, minibatches an order drawn every epoch.
    """
    data = Batch((run,)).dataset
    inputs = torch.tensor(data.train_inputs, dtype=torch.float32)
    labels = torch.tensor(data.train_labels)
    model = nn.Sequential(nn.Linear(2, run.model.width), nn.ReLU(), nn.Linear(run.model.width, 3))
    own = run.optimizer
    optimizer = torch.optim.SGD(
        model.parameters(), own.lr, own.momentum, 0, own.weight_decay, own.nesterov
    )
    cosine = own.schedule.name == "cosine"
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, run.steps) if cosine else None
    period, amplitude, now = run.loss.period, run.loss.amplitude, 0
    squared, whole, order = run.loss.name == "mean_squared_error", len(labels), labels
    size = own.batch_size or whole

    def losses_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if squared:
            return (logits - functional.one_hot(labels, 3)).square().mean(dim=1)
        return functional.cross_entropy(logits, labels, reduction="none")

    def train(steps: int) -> None:
        nonlocal now, order
        for step in range(now, now + steps):
            cycle, within = divmod(step, period)
            weights = torch.ones(3)
            weights[cycle % 3] = 1 + (amplitude - 1) * (1 - abs(2 * within / period - 1))
            weights = 3 * weights / weights.sum()
            optimizer.zero_grad()
            some, wanted = inputs, labels
            if size < whole:
                place = step % (whole // size) * size
                order = order if place else torch.randperm(whole)
                chosen = order[place : place + size]
                some, wanted = inputs[chosen], labels[chosen]
            (weights[wanted] * losses_of(model(some), wanted)).mean().backward()
            optimizer.step()
            if schedule:
                schedule.step()
        now += steps

    return train


def batched(runs: list[RunConfig]) -> Callable[[int], None]:
    """The reference engine: matrix products batched over runs, autograd."""
    batch = Batch(tuple(runs))
    return partial(Schedule(batch, "cpu").advance, ReferenceEngine().begin(batch, "cpu"))
