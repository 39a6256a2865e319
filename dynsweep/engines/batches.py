"""Batches: many runs that share shapes and differ in numbers, trained together."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep import models
from dynsweep.config import RunConfig
from dynsweep.data import Dataset, load


@dataclass(frozen=True)
class Batch:
    """Runs to be trained together: equal in every setting that is not declared ``batched``.

    A single run is a batch of one. Engines read what is shared from ``first`` and what differs
    as arrays.
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
    def model(self) -> models.Model:
        data = self.dataset
        return self.first.model.build(data.shape, data.classes)

    @property
    def steps(self) -> int:
        return total_steps(self.first)

    def array(self, setting: str) -> NDArray[Any]:
        """The values of a dotted setting, shape ``(runs,)``."""
        return np.array([*map(attrgetter(setting), self.runs)])

    def initial_weights(self) -> dict[str, Tensor]:
        """Each run's, in the layout of ``Model.init``, stacked; float64 on the CPU."""
        model = self.model
        drawn = [model.init(run.seed) for run in self.runs]
        return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}


def total_steps(run: RunConfig) -> int:
    """The minimisation steps of a run: ``steps``, or as many as make its ``epochs``."""
    if run.epochs is None:
        return run.steps
    samples = len(load(run.dataset).train_labels)
    return run.epochs * (samples // (run.optimizer.batch_size or samples))
