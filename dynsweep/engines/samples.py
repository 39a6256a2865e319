"""A dataset on the device, as PyTorch reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.data import Dataset
from dynsweep.models.mlp import ALIGN


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
        padding = ((0, extra), *[(0, 0)] * (inputs.ndim - 1))
        shares = np.full(len(labels), 1 / len(labels))
        moved = torch.as_tensor(np.pad(inputs, padding)).to(device)
        scale = None
        if data.mean is not None and data.std is not None:
            mean, std = (torch.as_tensor(one).to(device, dtype) for one in (data.mean, data.std))
            scale = (mean.view(-1, 1, 1), std.view(-1, 1, 1))
        return cls(
            moved.to(dtype) if moved.is_floating_point() else moved,
            torch.as_tensor(np.pad(labels, (0, extra))).to(device),
            torch.as_tensor(np.pad(shares, (0, extra))).to(device, dtype),
            scale,
        )

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
