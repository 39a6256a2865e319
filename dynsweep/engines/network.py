"""The model of a batch with its weights on a device, as PyTorch computes it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.engines.batches import Batch

Weights = Mapping[str, NDArray[Any]]


class Network:
    """Weights of all runs, and their logits.

    Args:
        weights: as :meth:`weights` of any session of the batch gives them; else the initial ones.

    Attributes:
        params: packed parameters by name, each ``(runs, ...)``, with gradients.
        buffers: what runs keep besides (batch norm), each ``(runs, ...)``.
    """

    def __init__(self, batch: Batch, device: str, weights: Weights | None = None) -> None:
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
