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
        # NumPy's frozen legacy generator: seed 0 draws the very points of the authors' notebook.
        # The validation set goes on in the same stream, a second draw of the same law.
        rng = np.random.RandomState(config.seed)
        law = (config.classes, config.noise, config.revolutions)
        return Dataset(
            *spirals(config.samples_per_class, *law, rng=rng),
            *spirals(config.validation_samples_per_class, *law, rng=rng),
            classes=config.classes,
        )
    raise TypeError(f"no loader for {type(config).__name__}")
