"""Settings of the optimiser."""

from __future__ import annotations

from dataclasses import dataclass

from dynsweep.config.ranges import above_zero, one_of

OPTIMIZERS = ("sgd",)


@dataclass(unsafe_hash=True)
class OptimizerConfig:
    """Full-batch gradient descent."""

    name: str = "sgd"
    lr: float = 1.0

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        one_of("optimizer.name", self.name, OPTIMIZERS)
        above_zero("optimizer.lr", self.lr)
