"""Datasets, one file each. To add one: its file, and a line in ``DATASETS``."""

from functools import lru_cache

from dynsweep.data.base import Dataset, DatasetConfig
from dynsweep.data.callable import OwnDatasetConfig
from dynsweep.data.cifar10 import CIFAR10Config
from dynsweep.data.spirals import SpiralsConfig
from dynsweep.data.table import TableConfig

__all__ = [
    "DATASETS",
    "CIFAR10Config",
    "Dataset",
    "DatasetConfig",
    "OwnDatasetConfig",
    "SpiralsConfig",
    "TableConfig",
    "load",
]

DATASETS: dict[str, type[DatasetConfig]] = {
    "spirals": SpiralsConfig,
    "cifar10": CIFAR10Config,
    "table": TableConfig,
    "own": OwnDatasetConfig,
}


@lru_cache(maxsize=4)
def load(config: DatasetConfig) -> Dataset:
    """The arrays that ``config`` describes, kept for the next who asks."""
    return config.load()
