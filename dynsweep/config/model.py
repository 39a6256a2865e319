"""Settings of the models."""

from __future__ import annotations

from dataclasses import dataclass

from dynsweep.config.ranges import at_least, one_of
from dynsweep.errors import ConfigError

INITS = ("standard", "glorot")


@dataclass(unsafe_hash=True)
class ModelConfig:
    """What every model has; the concrete ones are listed in ``MODELS``."""

    name: str = "???"
    width: int = 100

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        at_least("model.width", self.width, 1)


@dataclass(unsafe_hash=True)
class MLPConfig(ModelConfig):
    """One hidden layer of ``width`` ReLU units."""

    name: str = "mlp"
    init: str = "standard"
    bias: bool = True

    def check(self) -> None:
        super().check()
        one_of("model.init", self.init, INITS)


@dataclass(unsafe_hash=True)
class Myrtle5Config(ModelConfig):
    """Four convolutions of ``width`` channels and a dense layer (Shankar et al. 2020)."""

    name: str = "myrtle5"
    width: int = 64


@dataclass(unsafe_hash=True)
class WideResNetConfig(ModelConfig):
    """WRN-``depth``-``widen`` (Zagoruyko and Komodakis 2016); ``width``: channels before it."""

    name: str = "wide_resnet"
    width: int = 16
    depth: int = 16
    widen: int = 4

    def check(self) -> None:
        super().check()
        at_least("model.widen", self.widen, 1)
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ConfigError("model.depth", self.depth, "must be 6 n + 4: 10, 16, 22, 28, ...")


MODELS: dict[str, type[ModelConfig]] = {
    "mlp": MLPConfig,
    "myrtle5": Myrtle5Config,
    "wide_resnet": WideResNetConfig,
}
