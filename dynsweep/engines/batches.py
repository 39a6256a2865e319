"""Batches: many runs that share shapes and differ in numbers, trained together.

And what PyTorch computes with on their device: the network of all runs, and the samples.
"""

from collections.abc import Mapping
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
from dynsweep.models.mlp import ALIGN


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
        seeds = [run.seed for run in self.runs]
        places = {seed: place for place, seed in enumerate(dict.fromkeys(seeds))}
        drawn = [*map(self.model.init, places)]  # once for each seed: a grid has few
        index = torch.tensor([places[seed] for seed in seeds])
        return {name: torch.stack([one[name] for one in drawn])[index] for name in drawn[0]}


def total_steps(run: RunConfig) -> int:
    """The minimisation steps of a run: ``steps``, or as many as make its ``epochs``."""
    if run.epochs is None:
        return run.steps
    samples = len(load(run.dataset).train_labels)
    return run.epochs * (samples // (run.optimizer.batch_size or samples))


class Network:
    """Weights of all runs, and their logits.

    Args:
        weights: as :meth:`weights` of any session of the batch gives them; else the initial ones.

    Attributes:
        params: packed parameters by name, each ``(runs, ...)``, with gradients.
        buffers: what runs keep besides (batch norm), each ``(runs, ...)``.
    """

    def __init__(
        self, batch: Batch, device: str, weights: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        self.runs, self.model = len(batch), batch.model
        self.device, self.dtype = torch.device(device), getattr(torch, batch.first.dtype)
        self.bfloat16 = batch.first.precision == "bfloat16"
        buffers = self.model.buffers()
        if weights is None:
            repeated = {name: torch.stack([value] * self.runs) for name, value in buffers.items()}
            values = batch.initial_weights() | repeated
        else:
            values = {name: torch.as_tensor(value) for name, value in weights.items()}
        self.buffers = {name: self._moved(values.pop(name)) for name in buffers}
        packed = self.model.pack(values)
        self.params = {k: self._moved(v).requires_grad_() for k, v in packed.items()}

    def _moved(self, value: Tensor) -> Tensor:
        return value.to(self.device, self.dtype, copy=True)  # aligned as PyTorch does

    def logits(self, inputs: Tensor, training: bool = False) -> Tensor:
        """``(runs, samples, classes)`` of inputs ``(runs, samples, ...)``."""
        with torch.autocast("cuda", torch.bfloat16, self.bfloat16):
            logits = self.model.forward(self.params, inputs, self.buffers, training)
        return logits.to(self.dtype)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        """Copies, in the layout of ``Model.init``, and of the buffers."""
        params = self.model.unpack({name: p.detach() for name, p in self.params.items()})
        return {
            name: value.cpu().numpy().copy() for name, value in (params | self.buffers).items()
        }


@dataclass(frozen=True)
class Samples:
    """Samples, and what each counts in a mean.

    Attributes:
        inputs: shape ``(samples, ...)``, or ``(runs, samples, ...)`` where each run sees its own.
            Images are bytes until they are used: the whole set stays on the device.
        labels: shape ``(samples,)`` or ``(runs, samples)``.
        shares: 1 / P, and 0 for padding; shape ``(samples,)``.
        scale: mean and standard deviation by which images become numbers, each
            ``(channels, 1, 1)``; None for points.
    """

    inputs: Tensor
    labels: Tensor
    shares: Tensor
    scale: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, data: Dataset, part: str, device: torch.device, dtype: torch.dtype) -> "Samples":
        """The ``train`` or the ``validation`` part of a dataset.

        Points are padded up to whole cache lines. As for the hidden units: equal alignment gives
        equal bits in every batch.
        """
        inputs: NDArray[Any] = getattr(data, f"{part}_inputs")
        labels: NDArray[np.int64] = getattr(data, f"{part}_labels")
        extra = -len(labels) % ALIGN if inputs.ndim == 2 else 0
        shares = np.full(len(labels), 1 / len(labels))
        numbers, index, counts = (
            torch.as_tensor(np.pad(array, [(0, extra), *[(0, 0)] * (array.ndim - 1)])).to(device)
            for array in (inputs, labels, shares)
        )
        scale = None
        if data.mean is not None and data.std is not None:
            mean, std = (torch.as_tensor(one).to(device, dtype) for one in (data.mean, data.std))
            scale = (mean.view(-1, 1, 1), std.view(-1, 1, 1))
        numbers = numbers.to(dtype) if numbers.is_floating_point() else numbers
        return cls(numbers, index, counts.to(dtype), scale)

    @property
    def numbers(self) -> Tensor:
        """The inputs, images with mean 0 and standard deviation 1 over the training set."""
        if self.scale is None:
            return self.inputs
        mean, std = self.scale
        return (self.inputs.to(mean.dtype) - mean) / std

    def of_every_run(self, runs: int) -> Tensor:
        """:attr:`numbers`, the same for all runs: ``(runs, samples, ...)``."""
        return self.numbers.expand(runs, *self.inputs.shape)

    def __getitem__(self, where: slice | Tensor) -> "Samples":
        """Some of the samples, or others for every run, their shares as they were."""
        parts = (self.inputs[where], self.labels[where], self.shares[where])
        return Samples(*parts, self.scale)
