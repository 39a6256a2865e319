"""Wide residual networks: Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016.

WRN-depth-widen: a 3x3 convolution to 16 channels, three groups of (depth - 4) / 6 pre-activation
blocks with 16, 32 and 64 times ``widen`` channels, batch norm, the mean over the image and a
dense layer. A block is BN, ReLU, 3x3, BN, ReLU, 3x3 added to its input; where the number of
channels changes, to a 1x1 convolution of its first ReLU. No dropout. Convolutions start normal
with variance 2 / fan_out, as in the authors' code.
"""

import math
from dataclasses import dataclass

from dynsweep.errors import ConfigError
from dynsweep.lazy import Tensor, torch
from dynsweep.models import seeding
from dynsweep.models.base import Model, ModelConfig, Tensors, channel_width
from dynsweep.models.convolution import average, convolve, image_shape, merge, normalise
from dynsweep.settings import setting


@dataclass(unsafe_hash=True)
class WideResNetConfig(ModelConfig):
    """WRN-``depth``-``widen``."""

    name: str = setting("wide_resnet", short="model")
    width: int = channel_width(
        16, "channels of the first convolution; the published networks have 16"
    )
    depth: int = setting(16, "layers, 6 n + 4")
    widen: int = setting(4, "how many times wider than a residual network", least=1)

    def rules(self) -> None:
        """Raise :class:`ConfigError` for a depth that makes no whole blocks."""
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ConfigError("model.depth", self.depth, "must be 6 n + 4: 10, 16, 22, 28, ...")

    def build(self, shape: tuple[int, ...], classes: int) -> Model:
        return WideResNet(self, shape, classes)


@dataclass(frozen=True)
class Block:
    """Where a block's parameters are, and its shape."""

    name: str
    inputs: int
    outputs: int
    stride: int


class WideResNet(Model):
    """Parameters of one run: ``conv``, ``GROUP.BLOCK.{conv1,conv2,shortcut,bn1,bn2}``, ``bn`` and
    ``dense``; a batch norm has ``.scale`` and ``.shift``, and the buffers ``.mean`` and
    ``.variance``."""

    def __init__(self, config: WideResNetConfig, shape: tuple[int, ...], classes: int) -> None:
        wide, self.blocks = config.width, list[Block]()
        channels, height, width = image_shape(config.name, shape)
        self.footprint = wide * height * width
        for group in range(3):
            outputs = config.width * 2**group * config.widen
            for block in range((config.depth - 4) // 6):
                stride = 2 if group and not block else 1
                self.blocks.append(Block(f"{group}.{block}", wide, outputs, stride))
                wide = outputs
                self.footprint += 7 * wide * height * width // (2 * 4**group)
        self.shapes: dict[str, tuple[int, ...]] = {"conv": (config.width, channels, 3, 3)}
        self.norms = dict[str, int]()
        for b in self.blocks:
            self.shapes[f"{b.name}.conv1"] = (b.outputs, b.inputs, 3, 3)
            self.shapes[f"{b.name}.conv2"] = (b.outputs, b.outputs, 3, 3)
            if b.inputs != b.outputs:
                self.shapes[f"{b.name}.shortcut"] = (b.outputs, b.inputs, 1, 1)
            self.norms |= {f"{b.name}.bn1": b.inputs, f"{b.name}.bn2": b.outputs}
        self.norms["bn"] = wide
        self.shapes["dense.weight"] = (wide, classes)
        self.classes = classes
        weights = sum(math.prod(one) for one in self.shapes.values())
        self.size = weights + classes + 2 * sum(self.norms.values())

    def init(self, seed: int) -> Tensors:
        """Convolutions of variance 2 / fan_out, the dense layer of 1 / fan_in, float64."""
        generator = seeding.generator(seed, seeding.WEIGHTS)
        params = {}
        for name, shape in self.shapes.items():
            dense = name == "dense.weight"
            variance = 1 / shape[0] if dense else 2 / (shape[0] * shape[2] * shape[3])
            drawn = torch.randn(shape, dtype=torch.float64, generator=generator)
            params[name] = drawn * variance**0.5
        params["dense.bias"] = torch.zeros(self.classes, dtype=torch.float64)
        for name, channels in self.norms.items():
            params[f"{name}.scale"] = torch.ones(channels, dtype=torch.float64)
            params[f"{name}.shift"] = torch.zeros(channels, dtype=torch.float64)
        return params

    def buffers(self) -> Tensors:
        """Running means 0 and variances 1."""
        start = {}
        for name, channels in self.norms.items():
            start[f"{name}.mean"] = torch.zeros(channels, dtype=torch.float64)
            start[f"{name}.variance"] = torch.ones(channels, dtype=torch.float64)
        return start

    def forward(self, params: Tensors, inputs: Tensor, buffers: Tensors, training: bool) -> Tensor:
        """Logits ``(runs, samples, classes)`` of images ``(runs, samples, 3, 32, 32)``."""

        def active(x: Tensor, name: str) -> Tensor:
            scale, shift = params[f"{name}.scale"], params[f"{name}.shift"]
            mean, variance = buffers[f"{name}.mean"], buffers[f"{name}.variance"]
            return normalise(x, scale, shift, mean, variance, training).relu_()

        x = convolve(merge(inputs), params["conv"])
        for b in self.blocks:
            first = active(x, f"{b.name}.bn1")
            rest = convolve(first, params[f"{b.name}.conv1"], b.stride)
            rest = convolve(active(rest, f"{b.name}.bn2"), params[f"{b.name}.conv2"])
            if b.inputs != b.outputs:
                x = convolve(first, params[f"{b.name}.shortcut"], b.stride)
            x = x + rest
        pooled = average(active(x, "bn"), len(inputs))
        return torch.baddbmm(params["dense.bias"].unsqueeze(1), pooled, params["dense.weight"])
