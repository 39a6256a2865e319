"""Myrtle5: Shankar et al., "Neural kernels without tangents", ICML 2020, figure 2.

Five weight layers: 3x3 convolutions, ReLU and average pooling, then a dense layer; no biases, no
batch norm. Initial weights are normal with variance 2 / fan_in, as in Neural Tangents' notebook
of this network.
"""

import math
from dataclasses import dataclass

from dynsweep.lazy import Tensor, torch
from dynsweep.models import seeding
from dynsweep.models.base import Model, ModelConfig, Tensors, channel_width
from dynsweep.models.convolution import average, convolve, image_shape, merge
from dynsweep.settings import setting


@dataclass(unsafe_hash=True)
class Myrtle5Config(ModelConfig):
    """Four convolutions of ``width`` channels and a dense layer."""

    name: str = setting("myrtle5", short="model")
    width: int = channel_width(64, "channels of every convolution; 10 or so are underparametrised")

    def build(self, shape: tuple[int, ...], classes: int) -> Model:
        return Myrtle5(self, shape, classes)


class Myrtle5(Model):
    """conv, conv, pool, conv, pool, conv, pool three times, dense.

    Parameters of one run, for ``C = width`` channels: ``conv1 (C, 3, 3, 3)``, ``conv2`` to
    ``conv4 (C, C, 3, 3)``, ``dense (C, classes)``.
    """

    def __init__(self, config: Myrtle5Config, shape: tuple[int, ...], classes: int) -> None:
        channels, height, width = image_shape(config.name, shape)
        wide = config.width
        self.shapes: dict[str, tuple[int, ...]] = {"conv1": (wide, channels, 3, 3)}
        self.shapes |= {f"conv{k}": (wide, wide, 3, 3) for k in (2, 3, 4)}
        self.shapes["dense"] = (wide, classes)
        self.size = sum(math.prod(shape) for shape in self.shapes.values())
        # Two layers at full size, one at a quarter, one at a sixteenth, and what was pooled.
        self.footprint = wide * height * width * 45 // 16

    def init(self, seed: int) -> Tensors:
        """Weights of variance 2 / fan_in, float64."""
        generator = seeding.generator(seed, seeding.WEIGHTS)
        params = {}
        for name, shape in self.shapes.items():
            fan_in = shape[0] if name == "dense" else shape[1] * 9
            drawn = torch.randn(shape, dtype=torch.float64, generator=generator)
            params[name] = drawn * (2 / fan_in) ** 0.5
        return params

    def forward(self, params: Tensors, inputs: Tensor, buffers: Tensors, training: bool) -> Tensor:
        """Logits ``(runs, samples, classes)`` of images ``(runs, samples, 3, 32, 32)``."""
        avg_pool2d = torch.nn.functional.avg_pool2d
        x = convolve(merge(inputs), params["conv1"]).relu_()
        x = avg_pool2d(convolve(x, params["conv2"]).relu_(), 2)
        x = avg_pool2d(convolve(x, params["conv3"]).relu_(), 2)
        x = convolve(x, params["conv4"]).relu_()
        # Three pools of 2 leave one pixel of the 8 that there are: the mean.
        return torch.bmm(average(x, len(inputs)), params["dense"])
