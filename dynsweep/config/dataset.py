"""Settings of the datasets."""

from __future__ import annotations

from dataclasses import dataclass

from dynsweep.config.ranges import at_least, finite


@dataclass(unsafe_hash=True)
class DatasetConfig:
    """What every dataset has; the concrete ones are listed in ``DATASETS``."""

    name: str = "???"

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""


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


DATASETS: dict[str, type[DatasetConfig]] = {"spirals": SpiralsConfig}
