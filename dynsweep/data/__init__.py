"""Datasets: a training and a validation set, in NumPy, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dynsweep.config import DatasetConfig, SpiralsConfig
from dynsweep.data.spirals import spirals


@dataclass(frozen=True)
class Dataset:
    """Inputs of shape ``(samples, ...)`` in float64, labels of shape ``(samples,)`` in int64."""

    train_inputs: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    validation_inputs: NDArray[np.float64]
    validation_labels: NDArray[np.int64]
    classes: int


@lru_cache(maxsize=4)
def load(config: DatasetConfig) -> Dataset:
    """The dataset that ``config`` describes; equal configs give equal numbers."""
    if isinstance(config, SpiralsConfig):
        # Independent streams: the validation set is a second draw of the same law.
        train, validation = np.random.SeedSequence(config.seed).spawn(2)
        law = (config.classes, config.noise, config.revolutions)
        return Dataset(
            *spirals(config.samples_per_class, *law, rng=np.random.default_rng(train)),
            *spirals(
                config.validation_samples_per_class, *law, rng=np.random.default_rng(validation)
            ),
            classes=config.classes,
        )
    raise TypeError(f"no loader for {type(config).__name__}")
