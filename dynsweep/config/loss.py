"""Settings of the loss."""

from __future__ import annotations

from dataclasses import dataclass

from dynsweep.config.ranges import at_least, one_of

LOSSES = ("cross_entropy",)
COUNTINGS = ("paper", "notebook")


@dataclass(unsafe_hash=True)
class LossConfig:
    """Dynamical cross-entropy; amplitude 1 is the ordinary static loss.

    ``period`` counts minimisation steps. ``counting=notebook`` repeats the authors' notebook,
    whose cycles last ``period + 1`` steps.
    """

    name: str = "cross_entropy"
    period: int = 200
    amplitude: float = 20.0
    last_period_static: bool = True
    counting: str = "paper"

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        one_of("loss.name", self.name, LOSSES)
        at_least("loss.period", self.period, 1)
        at_least("loss.amplitude", self.amplitude, 1)
        one_of("loss.counting", self.counting, COUNTINGS)
