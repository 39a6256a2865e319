"""CIFAR-10 (Krizhevsky 2009) from its binary version: six files of records, without pickle.

A record is a label byte and 3,072 bytes of pixels: the red, the green and the blue plane, 32 rows
of 32. The published files have 10,000 records each; files with fewer whole records are a subset
in the same layout, and are read as such.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynsweep.config import CIFAR10Config
from dynsweep.data.cifar10_files import FOLDER, RECORD, RECORDS, TEST, TRAIN
from dynsweep.errors import ConfigError

CLASSES = 10
SHAPE = (3, 32, 32)

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]


def cifar10(config: CIFAR10Config) -> tuple[Images, Images]:
    """Training and validation images ``(samples, 3, 32, 32)`` with their labels.

    Raises:
        ConfigError: files are missing and may not or cannot be downloaded, or are not CIFAR-10;
            or a class has fewer images than asked for.
    """
    folder = find(Path(config.root))
    if folder is None and config.download:
        from dynsweep.data.download import download

        folder = download(Path(config.root))
    if folder is None:
        names = f"{TRAIN[0]} to {TRAIN[-1]} and {TEST}"
        raise ConfigError(
            "dataset.root", config.root, f"put {names} there, or let dataset.download=true"
        )
    parts = [read(folder / name) for name in TRAIN]
    train: Images = (
        np.concatenate([images for images, _ in parts]),
        np.concatenate([labels for _, labels in parts]),
    )
    rng = np.random.RandomState(config.seed)
    held = config.validation_samples_per_class
    if config.validation == "test":
        validation = _some(read(folder / TEST), held, rng, "validation_samples_per_class")
    else:
        order = rng.permutation(len(train[1]))
        train = (train[0][order], train[1][order])
        assert held is not None  # checked with the settings
        chosen = _first(train[1], held, "validation_samples_per_class")
        validation = (train[0][chosen], train[1][chosen])
        train = (train[0][~chosen], train[1][~chosen])
    return _some(train, config.samples_per_class, rng, "samples_per_class"), validation


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
        (wrong,) = np.nonzero(records[:, 0] >= CLASSES)
        if len(wrong):
            label = records[wrong[0], 0]
            problem = f"record {wrong[0]} has the label {label}; labels are 0 to {CLASSES - 1}"
    if problem:
        raise ConfigError("dataset.root", path.parent, f"{path.name}: {problem}")
    return records[:, 1:].reshape(-1, *SHAPE).copy(), records[:, 0].astype(np.int64)


def _some(images: Images, count: int | None, rng: np.random.RandomState, setting: str) -> Images:
    """``count`` images of every class, drawn by ``rng``; all where it is None."""
    if count is None:
        return images
    order = rng.permutation(len(images[1]))
    chosen = order[_first(images[1][order], count, setting)]
    return images[0][chosen], images[1][chosen]


def _first(labels: NDArray[Any], count: int, setting: str) -> NDArray[np.bool_]:
    """Which are the first ``count`` of their class."""
    chosen = np.zeros(len(labels), bool)
    for label in range(CLASSES):
        (mine,) = np.nonzero(labels == label)
        if len(mine) < count:
            allowed = f"must be at most {len(mine)}: class {label} has no more images"
            raise ConfigError(f"dataset.{setting}", count, allowed)
        chosen[mine[:count]] = True
    return chosen
