"""Settings of the optimiser and of its learning-rate schedule."""

import itertools
from dataclasses import dataclass, field

from dynsweep.errors import ConfigError
from dynsweep.settings import setting

SCHEDULES = ("constant", "linear", "cosine", "piecewise", "sharpness")


@dataclass(unsafe_hash=True)
class ScheduleConfig:
    """The factor of the learning rate over the training; see ``dynsweep.training.schedules``.

    Positions are fractions of the training, so that a schedule fits any length.
    """

    name: str = setting("constant", "how the learning rate changes", choices=SCHEDULES)
    warmup: float = setting(0.0, "the learning rate rises from 0 until here", least=0, below=1)
    final: float = setting(0.0, "where linear and cosine end, as a multiple of lr", least=0)
    milestones: tuple[float, ...] = setting(
        (), "where piecewise multiplies the learning rate by factor, as in [0.5,0.75]"
    )
    factor: float = setting(0.1, "of piecewise, at each milestone", above=0)
    fraction: float = setting(
        0.5, "sharpness: lr becomes this times 2 / (largest Hessian eigenvalue of F)", above=0
    )
    every: int = setting(50, "sharpness: steps between two measurements", least=1)
    lowest: float = setting(0.1, "sharpness: least multiple of lr", above=0)
    highest: float = setting(10.0, "sharpness: largest multiple of lr", above=0)

    def rules(self) -> None:
        """Raise :class:`ConfigError` for settings that do not go together."""
        if self.highest < self.lowest:
            allowed = f"must be a finite number, at least {self.lowest}"
            raise ConfigError("optimizer.schedule.highest", self.highest, allowed)
        marks = (0.0, *self.milestones, 1.0)
        if any(a >= b for a, b in itertools.pairwise(marks)):
            allowed = "must be increasing fractions of the training, between 0 and 1"
            raise ConfigError("optimizer.schedule.milestones", list(self.milestones), allowed)


@dataclass(unsafe_hash=True)
class OptimizerConfig:
    """Gradient descent, on the full training set or on minibatches of ``batch_size``."""

    name: str = setting("sgd", "gradient descent", choices=("sgd",))
    lr: float = setting(
        1.0, "learning rate", above=0, short="lr", label="learning rate", batched=True
    )
    momentum: float = setting(
        0.0, "v = momentum * v + gradient replaces the gradient", least=0, below=1, batched=True
    )
    nesterov: bool = setting(False, "Nesterov's momentum")
    weight_decay: float = setting(
        0.0, "times the weight, added to the gradient", least=0, batched=True
    )
    batch_size: int | None = setting(
        None, "samples of a minibatch; null: the full training set", least=1
    )
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def rules(self) -> None:
        """Raise :class:`ConfigError` for settings that do not go together."""
        if self.nesterov and self.momentum == 0:
            raise ConfigError("optimizer.nesterov", True, "needs optimizer.momentum above 0")

    @property
    def plain(self) -> bool:
        """Whether every step is ``W -= lr * gradient`` on the full training set."""
        return (
            self.momentum == 0
            and self.weight_decay == 0
            and self.batch_size is None
            and self.schedule == ScheduleConfig()
        )
