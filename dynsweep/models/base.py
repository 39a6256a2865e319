"""What every model is: settings, and a function of explicit parameters, batched over runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from dynsweep.lazy import Tensor
from dynsweep.settings import setting

Tensors = dict[str, Tensor]
channel_width = partial(setting, least=1, short="width", label="width (channels)")


class Model:
    """A network applied to many runs at once; parameters carry a leading ``runs`` axis.

    Attributes:
        size: numbers in the parameters of one run.
        footprint: numbers that one sample of one run keeps for the backward pass, about.
    """

    size: int
    footprint: int

    def init(self, seed: int) -> Tensors:
        """Initial parameters of one run, float64 on the CPU, without the ``runs`` axis."""
        raise NotImplementedError

    def buffers(self) -> Tensors:
        """What a run keeps besides parameters (means and variances of batch norm), at first."""
        return {}

    def pack(self, params: Tensors) -> Tensors:
        """The layout that :meth:`forward` wants, from that of :meth:`init`, runs stacked."""
        return params

    def unpack(self, params: Tensors) -> Tensors:
        """The inverse of :meth:`pack`."""
        return params

    def forward(self, params: Tensors, inputs: Tensor, buffers: Tensors, training: bool) -> Tensor:
        """Logits ``(runs, samples, classes)`` of packed parameters on ``(runs, samples, ...)``.

        In training, buffers are brought up to date in place.
        """
        raise NotImplementedError


@dataclass(unsafe_hash=True)
class ModelConfig:
    """Settings of a model; the concrete ones are listed in :data:`dynsweep.models.MODELS`."""

    name: str = setting("???", "the network", short="model")
    width: int = channel_width(100, "channels")

    def resolved(self) -> ModelConfig:
        """As of a dataset, see :class:`dynsweep.data.DatasetConfig`."""
        return self

    def build(self, shape: tuple[int, ...], classes: int) -> Model:
        """The network for samples of that shape."""
        raise NotImplementedError
