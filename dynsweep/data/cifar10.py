"""CIFAR-10 (Krizhevsky 2009) from its binary version: six files of records, without pickle.

A record is a label byte and 3,072 bytes of pixels: the red, the green and the blue plane, 32 rows
of 32. The published files have 10,000 records each; files with fewer whole records are a subset
in the same layout, and are read as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dynsweep.data.base import Dataset, DatasetConfig
from dynsweep.data.download import FOLDER, RECORD, RECORDS, TEST, TRAIN, download
from dynsweep.errors import ConfigError
from dynsweep.lazy import np
from dynsweep.settings import setting

if TYPE_CHECKING:
    from numpy.random import RandomState
    from numpy.typing import NDArray

    Images = tuple[NDArray[np.uint8], NDArray[np.int64]]

SHAPE = (3, 32, 32)


@dataclass(unsafe_hash=True)
class CIFAR10Config(DatasetConfig):
    """Photographs of 10 classes, 32 x 32 pixels (Krizhevsky 2009), in the binary version."""

    classes: ClassVar[int] = 10

    name: str = setting("cifar10", short="dataset")
    root: str = setting(
        "data/cifar10", "folder of the six files, or of the archive's own folder", place=True
    )
    download: bool = setting(
        True, "fetch the published archive (162 MB) where root has none of them", place=True
    )
    samples_per_class: int | None = setting(
        None, "training images of a class; null: all", least=1, label="training samples per class"
    )
    validation: str = setting(
        "test",
        "the test set, or a split: images that leave the training set",
        choices=("test", "split"),
    )
    validation_samples_per_class: int | None = setting(
        None, "validation images of a class; null: all of the test set", least=1
    )
    augment: bool = setting(
        False,
        "shift training images by up to 4 pixels and mirror half of them, anew in every epoch",
    )
    seed: int = setting(0, "decides which images a subset and a split consist of", least=0)

    def rules(self) -> None:
        if self.validation == "split" and self.validation_samples_per_class is None:
            raise ConfigError(
                "dataset.validation_samples_per_class",
                None,
                "must be given with dataset.validation=split: so many leave the training set",
            )

    def load(self) -> Dataset:
        train, validation = self._images()
        mean, std = statistics(train[0])
        return Dataset(*train, *validation, classes=self.classes, mean=mean, std=std)

    def _images(self) -> tuple[Images, Images]:
        """Training and validation images ``(samples, 3, 32, 32)`` with their labels."""
        folder = find(Path(self.root))
        if folder is None and self.download:
            folder = download(Path(self.root))
        if folder is None:
            names = f"{TRAIN[0]} to {TRAIN[-1]} and {TEST}"
            allowed = f"put {names} there, or let dataset.download=true"
            raise ConfigError("dataset.root", self.root, allowed)
        files = [read(folder / name) for name in TRAIN]
        images, labels = (np.concatenate(parts) for parts in zip(*files, strict=True))
        rng = np.random.RandomState(self.seed)
        held = self.validation_samples_per_class
        if self.validation == "test":
            validation = _some(read(folder / TEST), held, rng, "validation_samples_per_class")
        else:
            order = rng.permutation(len(labels))
            images, labels = images[order], labels[order]
            chosen = _first(labels, held or 0, "validation_samples_per_class")
            validation = images[chosen], labels[chosen]
            images, labels = images[~chosen], labels[~chosen]
        train = _some((images, labels), self.samples_per_class, rng, "samples_per_class")
        return train, validation


def statistics(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel's bytes, exactly, from their counts."""
    bytes_ = np.arange(256.0)
    channels = range(images.shape[1])
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in channels])
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ bytes_
    variance = (shares * (bytes_ - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(np.maximum(variance, 1e-12))


def find(root: Path) -> Path | None:
    """The folder with any of the six files: ``root``, or the archive's folder in it."""
    for folder in (root, root / FOLDER):
        if any((folder / name).exists() for name in (*TRAIN, TEST)):
            return folder
    return None


def read(path: Path) -> Images:
    """The records of one file, whole and with labels from 0 to 9.

    Raises:
        ConfigError: naming the file and what is wrong with it.
    """
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        text = error.strerror or str(error)
        raise ConfigError("dataset.root", path.parent, f"{path.name}: {text}") from None
    problem = ""
    if len(raw) == 0 or len(raw) % RECORD:
        problem = f"{len(raw):,} bytes are not whole records of {RECORD:,}: truncated or foreign"
    elif len(raw) > RECORD * RECORDS:
        problem = f"{len(raw):,} bytes, more than the {RECORD * RECORDS:,} of a published file"
    else:
        records = raw.reshape(-1, RECORD)
        (wrong,) = np.nonzero(records[:, 0] >= CIFAR10Config.classes)
        if len(wrong):
            label = records[wrong[0], 0]
            problem = f"record {wrong[0]} has the label {label}; labels are 0 to 9"
    if problem:
        raise ConfigError("dataset.root", path.parent, f"{path.name}: {problem}")
    return records[:, 1:].reshape(-1, *SHAPE).copy(), records[:, 0].astype(np.int64)


def _some(images: Images, count: int | None, rng: RandomState, setting: str) -> Images:
    """``count`` images of every class, drawn by ``rng``; all where it is None."""
    if count is None:
        return images
    order = rng.permutation(len(images[1]))
    chosen = order[_first(images[1][order], count, setting)]
    return images[0][chosen], images[1][chosen]


def _first(labels: NDArray[Any], count: int, setting: str) -> NDArray[np.bool_]:
    """Which are the first ``count`` of their class."""
    chosen = np.zeros(len(labels), bool)
    for label in range(CIFAR10Config.classes):
        (mine,) = np.nonzero(labels == label)
        if len(mine) < count:
            allowed = f"must be at most {len(mine)}: class {label} has no more images"
            raise ConfigError(f"dataset.{setting}", count, allowed)
        chosen[mine[:count]] = True
    return chosen
