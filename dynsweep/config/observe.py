"""What is recorded along a run, and how often; never part of a run's identity."""

from __future__ import annotations

from dataclasses import dataclass, field

from dynsweep.config.ranges import above_zero, at_least, one_of

SPACINGS = ("linear", "log")
LOSSES = ("loss", "static", "both")
CHOICES = ("first", "balanced")


@dataclass(unsafe_hash=True)
class SharpnessConfig:
    """The ``count`` largest eigenvalues of the Hessian, every so many steps (0: never).

    ``of`` the loss F(t), of the static loss, or of both; on the first ``samples`` of the training
    set. By Lanczos to ``tolerance``, or with a fixed ``order``.
    """

    every: int = 0
    of: str = "loss"
    count: int = 1
    tolerance: float = 1e-3
    order: int | None = None
    samples: int | None = None

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        at_least("observe.sharpness.every", self.every, 0)
        one_of("observe.sharpness.of", self.of, LOSSES)
        at_least("observe.sharpness.count", self.count, 1)
        above_zero("observe.sharpness.tolerance", self.tolerance)
        for name in ("order", "samples"):
            value = getattr(self, name)
            if value is not None:
                at_least(f"observe.sharpness.{name}", value, 1)


@dataclass(unsafe_hash=True)
class NTKConfig:
    """The ``count`` largest eigenvalues of the neural tangent kernel of ``samples`` points."""

    every: int = 0
    samples: int = 50
    choice: str = "balanced"
    count: int = 1

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        at_least("observe.ntk.every", self.every, 0)
        at_least("observe.ntk.samples", self.samples, 1)
        one_of("observe.ntk.choice", self.choice, CHOICES)
        at_least("observe.ntk.count", self.count, 1)


@dataclass(unsafe_hash=True)
class ObserveConfig:
    """What is recorded along a run; each quantity with its own interval in steps (0: never)."""

    records: int = 0
    spacing: str = "linear"
    loss_every: int = 0
    class_accuracy_every: int = 0
    snapshots_every: int = 0
    sharpness: SharpnessConfig = field(default_factory=SharpnessConfig)
    ntk: NTKConfig = field(default_factory=NTKConfig)

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        at_least("observe.records", self.records, 0)
        one_of("observe.spacing", self.spacing, SPACINGS)
        for name in ("loss_every", "class_accuracy_every", "snapshots_every"):
            at_least(f"observe.{name}", getattr(self, name), 0)
        self.sharpness.check()
        self.ntk.check()
