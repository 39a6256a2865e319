"""Models: functions of explicit parameters, batched over runs."""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor

from dynsweep.config import MLPConfig, ModelConfig, Myrtle5Config, WideResNetConfig
from dynsweep.models.mlp import MLP
from dynsweep.models.myrtle5 import Myrtle5
from dynsweep.models.wide_resnet import WideResNet

Tensors = dict[str, Tensor]


class Model(Protocol):
    """A network applied to many runs at once; parameters carry a leading ``runs`` axis.

    Attributes:
        size: numbers in the parameters of one run.
        footprint: numbers that one sample of one run keeps for the backward pass, about.
    """

    size: int
    footprint: int

    def init(self, seed: int) -> Tensors:
        """Initial parameters of one run, float64 on the CPU, without the ``runs`` axis."""
        ...

    def buffers(self) -> Tensors:
        """What a run keeps besides parameters (means and variances of batch norm), at first."""
        ...

    def pack(self, params: Tensors) -> Tensors:
        """The layout that :meth:`forward` wants, from that of :meth:`init`, runs stacked."""
        ...

    def unpack(self, params: Tensors) -> Tensors:
        """The inverse of :meth:`pack`."""
        ...

    def forward(self, params: Tensors, inputs: Tensor, buffers: Tensors, training: bool) -> Tensor:
        """Logits ``(runs, samples, classes)`` of packed parameters on ``(runs, samples, ...)``.

        In training, buffers are brought up to date in place.
        """
        ...


def build(config: ModelConfig, shape: tuple[int, ...], classes: int) -> Model:
    """The model that ``config`` describes, for samples of that shape."""
    if isinstance(config, MLPConfig):
        return MLP(config, math.prod(shape), classes)
    if isinstance(config, Myrtle5Config):
        return Myrtle5(config, shape, classes)
    if isinstance(config, WideResNetConfig):
        return WideResNet(config, shape, classes)
    raise TypeError(f"no model for {type(config).__name__}")
