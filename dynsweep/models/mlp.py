"""One hidden layer of ReLU units: the paper's simple model."""

import math
from dataclasses import dataclass

from dynsweep.lazy import Tensor, torch
from dynsweep.models import seeding
from dynsweep.models.base import Model, ModelConfig, Tensors
from dynsweep.settings import setting

# Hidden units are padded to whole cache lines with units whose weights are 0. Those stay 0 and
# add nothing; but every run's matrices then start equally aligned, and matrix products give
# the same bits whatever the number of runs in the batch.
ALIGN = 16


@dataclass(unsafe_hash=True)
class MLPConfig(ModelConfig):
    """One hidden layer of ``width`` ReLU units."""

    name: str = setting("mlp", short="model")
    width: int = setting(
        100, "hidden units H", least=1, short="width", label="width (hidden units)"
    )
    init: str = setting(
        "standard",
        "standard: weights of variance 1/fan_in, biases 0; "
        "glorot: 2/(fan_in+fan_out), biases of std 0.01",
        choices=("standard", "glorot"),
        label="initialisation",
    )
    bias: bool = setting(True, "with biases; without, the spirals cannot be learnt")

    def build(self, shape: tuple[int, ...], classes: int) -> Model:
        return MLP(self, math.prod(shape), classes)


class MLP(Model):
    """``logits = relu(x W1 + b1) W2 + b2`` for a batch of runs.

    Parameters of one run: ``w1 (inputs, width)``, ``b1 (width,)``, ``w2 (width, classes)``,
    ``b2 (classes,)``; without biases ``b1`` and ``b2`` are absent.
    """

    def __init__(self, config: MLPConfig, inputs: int, classes: int) -> None:
        self.config = config
        self.shapes = {"w1": (inputs, config.width), "w2": (config.width, classes)}
        biases = config.width + classes if config.bias else 0
        self.size = config.width * (inputs + classes) + biases
        self.footprint = 2 * config.width + 3 * classes

    def init(self, seed: int) -> Tensors:
        """Draw initial parameters, float64, from the run's own generator.

        ``standard`` is the authors' original notebook (Neural Tangents' standard
        parameterisation of the time): weights normal with variance 1 / fan_in, biases 0.
        ``glorot`` is their updated notebook: variance 2 / (fan_in + fan_out), biases normal
        with standard deviation 0.01.
        """
        generator = seeding.generator(seed, seeding.WEIGHTS)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        params = {}
        for layer, (name, (fan_in, fan_out)) in enumerate(self.shapes.items(), start=1):
            glorot = self.config.init == "glorot"
            variance = 2 / (fan_in + fan_out) if glorot else 1 / fan_in
            params[name] = normal(fan_in, fan_out) * variance**0.5
            if self.config.bias:
                params[f"b{layer}"] = (
                    normal(fan_out) * 0.01 if glorot else torch.zeros(fan_out, dtype=torch.float64)
                )
        return params

    def pack(self, params: Tensors) -> Tensors:
        """Pad the hidden units to a multiple of ``ALIGN``; biases become rows."""
        dead = -self.config.width % ALIGN
        pad = torch.nn.functional.pad
        packed = {"w1": pad(params["w1"], (0, dead)), "w2": pad(params["w2"], (0, 0, 0, dead))}
        if self.config.bias:
            packed["b1"] = pad(params["b1"], (0, dead)).unsqueeze(-2)
            packed["b2"] = params["b2"].unsqueeze(-2)
        return packed

    def unpack(self, params: Tensors) -> Tensors:
        width = self.config.width
        plain = {"w1": params["w1"][..., :width], "w2": params["w2"][..., :width, :]}
        if self.config.bias:
            plain["b1"] = params["b1"][..., 0, :width]
            plain["b2"] = params["b2"][..., 0, :]
        return plain

    def forward(self, params: Tensors, inputs: Tensor, buffers: Tensors, training: bool) -> Tensor:
        """Logits ``(runs, samples, classes)`` of inputs ``(runs, samples, ...)``."""
        inputs = inputs.flatten(2)
        if not self.config.bias:
            return torch.bmm(torch.bmm(inputs, params["w1"]).relu(), params["w2"])
        hidden = torch.baddbmm(params["b1"], inputs, params["w1"]).relu()
        return torch.baddbmm(params["b2"], hidden, params["w2"])
