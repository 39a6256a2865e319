"""Your own table: numbers and a label, from a file of rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from dynsweep.data.base import Dataset
from dynsweep.data.own import OwnConfig, facts
from dynsweep.errors import ConfigError
from dynsweep.lazy import np
from dynsweep.settings import check, follows, replaced, setting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dynsweep.data.rows import Rows

SECOND = "file"  # what `validation` becomes where it names one: its path decides nothing
SHARE = "must be a part of the rows, between 0 and 1, or a second file"
MOST_CLASSES = 1000


@dataclass(unsafe_hash=True)
class TableConfig(OwnConfig):
    """Numbers and a label in a file of rows: .csv, .tsv, .parquet or .npz."""

    name: str = setting("table", short="dataset")
    file: str = setting("", "the rows: .csv, .tsv, .parquet or .npz", place=True)
    label: str | None = setting(None, "column of the classes, numbers or text; null: the last")
    inputs: tuple[str, ...] = setting(
        (), "columns of the inputs, as in [a,b]; none: all other numeric ones"
    )
    validation: float | str = setting(
        0.25, "part of each class for validation, drawn by dataset.seed; or a second file"
    )
    validation_file: str | None = follows(None, "the second file", place=True)
    standardize: bool = setting(
        True, "inputs with mean 0 and standard deviation 1 over the training part"
    )
    seed: int = setting(0, "draws the validation part", least=0)

    def rules(self) -> None:
        if not self.file:
            allowed = "must name a file of rows: .csv, .tsv, .parquet or .npz"
            raise ConfigError("dataset.file", self.file, allowed)
        part = self.validation
        if self.validation_file and part != SECOND:
            allowed = "follows from the file; type dataset.validation=FILE"
            raise ConfigError("dataset.validation_file", self.validation_file, allowed)
        if part == SECOND:
            return
        if not part or (not isinstance(part, str) and not 0 < part < 1):
            raise ConfigError("dataset.validation", part, SHARE)

    def resolved(self) -> TableConfig:
        check(self, "dataset.")
        values = {"file": _absolute(self.file)}
        if isinstance(self.validation, str) and not (self.content and self.validation_file):
            values |= {"validation": SECOND, "validation_file": _absolute(self.validation)}
        config = replaced(self, values)
        return _resolved(config, config._stamps())

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        """Of each file when and how long it was written: another stamp, another reading."""
        return tuple(_stamp(*file) for file in self._files())

    def _files(self) -> list[tuple[str, str]]:
        """Setting and path of the one or two files."""
        files = [("dataset.file", self.file)]
        if isinstance(self.validation, str):
            files.append(("dataset.validation", self.validation_file or self.validation))
        return files

    def load(self) -> Dataset:
        parts = [_rows(*file, stamp, self) for file, stamp in self._stamped()]
        if self.content and _content(parts) != self.content:
            allowed = f"has changed since: its content was {self.content}"
            raise ConfigError("dataset.file", self.file, allowed)
        labels, names = parts[0].classes()
        if len(names) < 2:
            text = f"{names[0]!r} is the only class in its {len(labels)} rows; two at least"
            raise ConfigError("dataset.label", parts[0].label, text)
        if len(names) > MOST_CLASSES:
            text = f"{len(names):,} classes in {len(labels):,} rows; at most {MOST_CLASSES:,}"
            raise ConfigError("dataset.label", parts[0].label, text)
        if len(parts) > 1:
            arrays = [(parts[0].inputs, labels), (parts[1].inputs, parts[1].known(parts[0]))]
        else:
            assert not isinstance(self.validation, str)
            held = held_out(labels, names, self.validation, self.seed, parts[0].label)
            arrays = [
                (parts[0].inputs[~held], labels[~held]),
                (parts[0].inputs[held], labels[held]),
            ]
        (train, train_labels), (validation, validation_labels) = arrays
        if self.standardize:
            mean, std = train.mean(axis=0), train.std(axis=0)
            std = np.where(std > 1e-12 * np.abs(mean), std, 1.0)  # a constant column is 0
            train, validation = (train - mean) / std, (validation - mean) / std
        axes = [name + " (standardised)" * self.standardize for name in parts[0].columns]
        return Dataset(
            train, train_labels, validation, validation_labels, classes=len(names),
            names=tuple(names), axes=tuple(axes),
        )  # fmt: skip

    def _stamped(self) -> list[tuple[tuple[str, str], tuple[int, int]]]:
        return list(zip(self._files(), self._stamps(), strict=True))


@lru_cache(maxsize=64)
def _resolved(config: TableConfig, stamps: tuple[tuple[int, int], ...]) -> TableConfig:
    """The same object each time: the runs of a grid share it."""
    parts = [_rows(*file, stamp, config) for file, stamp in config._stamped()]
    found = {"content": _content(parts), "title": config.title or Path(config.file).stem}
    return replaced(config, {**found, **facts(replaced(config, {"content": ""}).load())})


def _content(parts: list[Rows]) -> str:
    return hashlib.sha256(" ".join(part.digest for part in parts).encode()).hexdigest()[:12]


def _rows(setting: str, path: str, stamp: tuple[int, int], config: TableConfig) -> Rows:
    return _read(setting, path, stamp, config.label, config.inputs)


@lru_cache(maxsize=4)
def _read(
    setting: str, path: str, stamp: tuple[int, int], label: str | None, inputs: tuple[str, ...]
) -> Rows:
    from dynsweep.data.rows import read

    return read(setting, path, label, inputs)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _stamp(setting: str, path: str) -> tuple[int, int]:
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise ConfigError(setting, path, (error.strerror or str(error)).lower()) from None
    return stat.st_mtime_ns, stat.st_size


def held_out(
    labels: NDArray[np.int64], names: list[str], part: float, seed: int, label: str
) -> NDArray[np.bool_]:
    """Which rows are for validation: of each class that ``part``, one at least and not all.

    Raises:
        ConfigError: a class has fewer than two rows.
    """
    rng = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for index, name in enumerate(names):
        (mine,) = np.nonzero(labels == index)
        if len(mine) < 2:
            text = f"class {name!r} has 1 row: too small to be split into training and validation"
            raise ConfigError("dataset.label", label, text)
        count = min(max(round(part * len(mine)), 1), len(mine) - 1)
        held[rng.permutation(mine)[:count]] = True
    return held
