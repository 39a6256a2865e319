"""Settings of the models."""

from __future__ import annotations

from dataclasses import dataclass

from dynsweep.config.ranges import at_least, one_of

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


MODELS: dict[str, type[ModelConfig]] = {"mlp": MLPConfig}
