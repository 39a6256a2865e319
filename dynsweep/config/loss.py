"""Settings of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from dynsweep.config.ranges import at_least, one_of
from dynsweep.errors import ConfigError

LOSSES = ("cross_entropy", "mean_squared_error")
COUNTINGS = ("paper", "notebook")


@dataclass(unsafe_hash=True)
class LossConfig:
    """Dynamical cross-entropy or mean squared error; amplitude 1 is the ordinary static loss.

    ``period`` counts minimisation steps. ``counting=notebook`` repeats the authors' notebook,
    whose cycles last ``period + 1`` steps. ``static_end`` is the last fraction of the training
    without oscillations, besides the last period.
    """

    name: str = "cross_entropy"
    period: int = 200
    amplitude: float = 20.0
    last_period_static: bool = True
    static_end: float = 0.0
    counting: str = "paper"

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        one_of("loss.name", self.name, LOSSES)
        at_least("loss.period", self.period, 1)
        at_least("loss.amplitude", self.amplitude, 1)
        if not 0 <= self.static_end <= 1:
            raise ConfigError("loss.static_end", self.static_end, "must lie between 0 and 1")
        one_of("loss.counting", self.counting, COUNTINGS)
