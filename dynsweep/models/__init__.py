"""Models: functions of explicit parameters, batched over runs."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from dynsweep.config import MLPConfig, ModelConfig
from dynsweep.models.mlp import MLP


class Model(Protocol):
    """A network applied to many runs at once; parameters carry a leading ``runs`` axis."""

    def init(self, seed: int) -> dict[str, Tensor]:
        """Initial parameters of one run, float64 on the CPU, without the ``runs`` axis."""
        ...

    def pack(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        """The layout that :meth:`forward` wants, from that of :meth:`init`, runs stacked."""
        ...

    def unpack(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of :meth:`pack`."""
        ...

    def forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits ``(runs, samples, classes)`` of packed parameters on ``(samples, ...)``."""
        ...


def build(config: ModelConfig, inputs: int, classes: int) -> Model:
    """The model that ``config`` describes, for samples of ``inputs`` numbers."""
    if isinstance(config, MLPConfig):
        return MLP(config, inputs, classes)
    raise TypeError(f"no model for {type(config).__name__}")
