"""What is known of data that somebody brought, once they were read."""

from __future__ import annotations

from dataclasses import dataclass

from dynsweep.data.base import Dataset, DatasetConfig
from dynsweep.lazy import np
from dynsweep.settings import follows


@dataclass(unsafe_hash=True)
class OwnConfig(DatasetConfig):
    """Data from outside this package: known by what they hold, shown by a name of their own."""

    title: str = follows("", "its name in tables and figures", place=True)
    content: str = follows("", "names what it holds: a run is known by this, and not by paths")
    chance: float = follows(0.0, "the largest class's share of the training set", place=True)
    inputs_count: int = follows(0, "numbers of a sample", place=True)


def facts(data: Dataset) -> dict[str, float]:
    """What follows from the arrays."""
    counts = np.bincount(data.train_labels)
    return {
        "chance": float(counts.max() / counts.sum()),
        "inputs_count": int(np.prod(data.shape)),
    }
