"""Batches: many runs that share shapes and differ in numbers, trained together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynsweep.config import RunConfig
from dynsweep.data import Dataset, load


@dataclass(frozen=True)
class Batch:
    """Runs to be trained together: one dataset, architecture, length and precision.

    A single run is a batch of one. Engines read what is shared from ``first`` and what
    differs from the arrays, all of shape ``(runs,)``.
    """

    runs: tuple[RunConfig, ...]

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def first(self) -> RunConfig:
        return self.runs[0]

    @property
    def dataset(self) -> Dataset:
        return load(self.first.dataset)

    @property
    def steps(self) -> int:
        return total_steps(self.first)

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def lr(self) -> NDArray[np.float64]:
        return np.array([run.optimizer.lr for run in self.runs], dtype=np.float64)

    @property
    def momentum(self) -> NDArray[np.float64]:
        return np.array([run.optimizer.momentum for run in self.runs], dtype=np.float64)

    @property
    def weight_decay(self) -> NDArray[np.float64]:
        return np.array([run.optimizer.weight_decay for run in self.runs], dtype=np.float64)

    @property
    def period(self) -> NDArray[np.int64]:
        return np.array([run.loss.period for run in self.runs], dtype=np.int64)

    @property
    def amplitude(self) -> NDArray[np.float64]:
        return np.array([run.loss.amplitude for run in self.runs], dtype=np.float64)


def total_steps(run: RunConfig) -> int:
    """The minimisation steps of a run: ``steps``, or as many as make its ``epochs``."""
    if run.epochs is None:
        return run.steps
    samples = len(load(run.dataset).train_labels)
    return run.epochs * (samples // (run.optimizer.batch_size or samples))


def shared_settings(run: RunConfig) -> Hashable:
    """What runs of one batch have in common; runs with equal keys may be trained together."""
    loss, optimizer = run.loss, run.optimizer
    return (
        (run.dataset, run.model, run.engine, run.observe),
        (run.steps, run.epochs, run.precision, run.device),
        (loss.name, loss.last_period_static, loss.static_end, loss.counting),
        (optimizer.name, optimizer.nesterov, optimizer.batch_size, optimizer.schedule),
        (optimizer.plain, run.save_weights, run.checkpoint_minutes),
    )


def group(runs: Sequence[RunConfig]) -> list[list[int]]:
    """Positions of ``runs`` that can share batches, in order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for position, run in enumerate(runs):
        groups.setdefault(shared_settings(run), []).append(position)
    return list(groups.values())
