"""The model and the data of a batch on a device, as PyTorch reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.data import Dataset
from dynsweep.engines.batches import Batch
from dynsweep.models.mlp import ALIGN


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
            drawn = batch.initial_weights()
            repeated = {k: v.repeat(self.runs, *[1] * v.dim()) for k, v in buffers.items()}
        else:
            drawn = {name: torch.as_tensor(value) for name, value in weights.items()}
            repeated = {name: drawn.pop(name) for name in buffers}
        packed = self.model.pack(drawn)
        self.params = {k: self._moved(v).requires_grad_() for k, v in packed.items()}
        self.buffers = {k: self._moved(v) for k, v in repeated.items()}

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
    def of(cls, data: Dataset, part: str, device: torch.device, dtype: torch.dtype) -> Samples:
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

    @property
    def real(self) -> Tensor:
        """Which samples are no padding, shape ``(samples,)``."""
        return self.shares > 0

    def __len__(self) -> int:
        return len(self.shares)

    def __getitem__(self, where: slice) -> Samples:
        """Some of the samples, their shares as they were."""
        parts = (self.inputs[where], self.labels[where], self.shares[where])
        return Samples(*parts, self.scale)

    def chosen(self, index: Tensor) -> Samples:
        """Other samples for every run, all with the same share; index of shape
        ``(runs, size)``."""
        shares = torch.full_like(self.shares[: index.shape[1]], 1 / index.shape[1])
        return Samples(self.inputs[index], self.labels[index], shares, self.scale)
