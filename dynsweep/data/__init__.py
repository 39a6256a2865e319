"""Datasets: a training and a validation set, in NumPy, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynsweep.config import CIFAR10Config, DatasetConfig, SpiralsConfig
from dynsweep.data.cifar10 import cifar10
from dynsweep.data.spirals import spirals


@dataclass(frozen=True)
class Dataset:
    """Inputs of shape ``(samples, ...)``, labels of shape ``(samples,)`` in int64.

    Points are float64. Images are uint8, ``(samples, channels, height, width)``, for which
    ``mean`` and ``std`` are each channel's over the training set.
    """

    train_inputs: NDArray[Any]
    train_labels: NDArray[np.int64]
    validation_inputs: NDArray[Any]
    validation_labels: NDArray[np.int64]
    classes: int
    mean: NDArray[np.float64] | None = None
    std: NDArray[np.float64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train_inputs.shape[1:])


@lru_cache(maxsize=4)
def load(config: DatasetConfig) -> Dataset:
    """The dataset that ``config`` describes; equal configs give equal numbers.

    Raises:
        ConfigError: files are missing or are not what their names say.
    """
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
    if isinstance(config, CIFAR10Config):
        train, validation = cifar10(config)
        mean, std = statistics(train[0])
        return Dataset(*train, *validation, classes=10, mean=mean, std=std)
    raise TypeError(f"no loader for {type(config).__name__}")


def statistics(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel's bytes, exactly, from their counts."""
    bytes_ = np.arange(256.0)
    channels = range(images.shape[1])
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in channels])
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ bytes_
    variance = (shares * (bytes_ - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(np.maximum(variance, 1e-12))
