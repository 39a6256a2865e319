"""Settings of the optimiser and of its learning-rate schedule."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from dynsweep.config.ranges import above_zero, at_least, one_of
from dynsweep.errors import ConfigError

OPTIMIZERS = ("sgd",)
SCHEDULES = ("constant", "linear", "cosine", "piecewise", "sharpness")


@dataclass(unsafe_hash=True)
class ScheduleConfig:
    """The factor of the learning rate over the training; see ``dynsweep.training.schedules``.

    Positions are fractions of the training, so that a schedule fits any length.
    """

    name: str = "constant"
    warmup: float = 0.0
    final: float = 0.0
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    fraction: float = 0.5
    every: int = 50
    lowest: float = 0.1
    highest: float = 10.0

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        where = "optimizer.schedule"
        one_of(f"{where}.name", self.name, SCHEDULES)
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"{where}.warmup", self.warmup, "must be at least 0 and below 1")
        at_least(f"{where}.final", self.final, 0)
        for name in ("factor", "fraction", "lowest"):
            above_zero(f"{where}.{name}", getattr(self, name))
        at_least(f"{where}.highest", self.highest, self.lowest)
        at_least(f"{where}.every", self.every, 1)
        marks = (0.0, *self.milestones, 1.0)
        if any(a >= b for a, b in itertools.pairwise(marks)):
            allowed = "must be increasing fractions of the training, between 0 and 1"
            raise ConfigError(f"{where}.milestones", list(self.milestones), allowed)


@dataclass(unsafe_hash=True)
class OptimizerConfig:
    """Gradient descent, on the full training set or on minibatches of ``batch_size``."""

    name: str = "sgd"
    lr: float = 1.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    batch_size: int | None = None
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        one_of("optimizer.name", self.name, OPTIMIZERS)
        above_zero("optimizer.lr", self.lr)
        if not 0 <= self.momentum < 1:
            allowed = "must be at least 0 and below 1"
            raise ConfigError("optimizer.momentum", self.momentum, allowed)
        if self.nesterov and self.momentum == 0:
            raise ConfigError("optimizer.nesterov", True, "needs optimizer.momentum above 0")
        at_least("optimizer.weight_decay", self.weight_decay, 0)
        if self.batch_size is not None:
            at_least("optimizer.batch_size", self.batch_size, 1)
        self.schedule.check()

    @property
    def plain(self) -> bool:
        """Whether every step is ``W -= lr * gradient`` on the full training set."""
        return (
            self.momentum == 0
            and self.weight_decay == 0
            and self.batch_size is None
            and self.schedule == ScheduleConfig()
        )
