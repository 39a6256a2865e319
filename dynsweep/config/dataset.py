"""Settings of the datasets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dynsweep.config.ranges import at_least, finite, one_of
from dynsweep.errors import ConfigError

VALIDATIONS = ("test", "split")


@dataclass(unsafe_hash=True)
class DatasetConfig:
    """What every dataset has; the concrete ones are listed in ``DATASETS``."""

    name: str = "???"

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""

    def science(self) -> dict[str, Any]:
        """The settings that decide what the data are; not where they lie."""
        return vars(self)


@dataclass(unsafe_hash=True)
class SpiralsConfig(DatasetConfig):
    """Interleaved spirals in the plane (the paper's toy problem, DESIGN section 1)."""

    name: str = "spirals"
    classes: int = 3
    samples_per_class: int = 100
    validation_samples_per_class: int = 100
    noise: float = 0.2
    revolutions: float = 2.0
    seed: int = 0

    def check(self) -> None:
        at_least("dataset.classes", self.classes, 2)
        at_least("dataset.samples_per_class", self.samples_per_class, 1)
        at_least("dataset.validation_samples_per_class", self.validation_samples_per_class, 1)
        at_least("dataset.noise", self.noise, 0)
        finite("dataset.revolutions", self.revolutions)
        at_least("dataset.seed", self.seed, 0)


@dataclass(unsafe_hash=True)
class CIFAR10Config(DatasetConfig):
    """Photographs of 10 classes, 32 x 32 pixels (Krizhevsky 2009), in the binary version."""

    classes: ClassVar[int] = 10

    name: str = "cifar10"
    root: str = "data/cifar10"
    download: bool = True
    samples_per_class: int | None = None
    validation: str = "test"
    validation_samples_per_class: int | None = None
    augment: bool = False
    seed: int = 0

    def check(self) -> None:
        one_of("dataset.validation", self.validation, VALIDATIONS)
        for name in ("samples_per_class", "validation_samples_per_class"):
            value = getattr(self, name)
            if value is not None:
                at_least(f"dataset.{name}", value, 1)
        if self.validation == "split" and self.validation_samples_per_class is None:
            raise ConfigError(
                "dataset.validation_samples_per_class",
                None,
                "must be given with dataset.validation=split: so many leave the training set",
            )
        at_least("dataset.seed", self.seed, 0)

    def science(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("root", "download")}


DATASETS: dict[str, type[DatasetConfig]] = {"spirals": SpiralsConfig, "cifar10": CIFAR10Config}
