"""Records of runs, and their writer: append-only and crash-safe."""

import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from dynsweep.metrics import COLUMNS
from dynsweep.store.files import SweepPaths, make_folder, replacing, storing, sync
from dynsweep.store.owners import owner
from dynsweep.store.sealed import seal

COMPLETED, DIVERGED, FAILED = "completed", "diverged", "failed"
STATUSES = (COMPLETED, DIVERGED, FAILED)
FINISHED = (COMPLETED, DIVERGED)
METRICS = tuple(COLUMNS)

# Of the files of records. 1 (f780529 and before) has no such number, and ids under another rule;
# 2 has no checksums, and a record belongs to the batch before it.
FORMAT = 3


@dataclass
class Record:
    """What is kept of one run."""

    id: str  # RunConfig.identity
    number: int  # job number in the multirun that trained it
    overrides: list[str]  # as typed, one key=value each
    config: dict[str, Any]  # all settings, one level of dotted names
    status: str  # completed, diverged (weights or loss not finite) or failed (raised)
    metrics: dict[str, float] = field(default_factory=dict)  # at the end, without class weights
    seconds: float = 0.0  # the run's share of its batch's wall time
    error: str | None = None  # the exception of a failed run, one line


class Store:
    """Writer of one process into a sweep directory; the file appears with the first record.

    The names of its files begin with ``label``; by it readers find them again.
    """

    def __init__(self, directory: str | Path, label: str = "") -> None:
        self.paths = SweepPaths(directory)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        self.name = f"{label}{stamp}-{owner()}-{secrets.token_hex(3)}"
        self._file: BinaryIO | None = None
        self._attached = 0

    def append(self, records: Sequence[Record], shared: Mapping[str, Any]) -> None:
        """Add the records of one batch; they are on disk when this returns.

        Args:
            records: the runs of the batch.
            shared: facts that hold for all of them, such as engine, device and software, and
                the names of the batch's files.

        Raises:
            StorageError: they could not be written.
        """
        common, own = split([record.config for record in records])
        name = secrets.token_hex(4)
        # Twice, as all records of the batch need it.
        head = {"batch": {"format": FORMAT, **shared, "config": common}, "name": name}
        lines: list[dict[str, Any]] = [head]
        for record, config in zip(records, own, strict=True):
            metrics = {k: v if math.isfinite(v) else None for k, v in record.metrics.items()}
            line = {"of": name, **vars(record), **metrics, "config": config}
            del line["metrics"]
            lines.append(line | {"seconds": round(record.seconds, 6)})
        text = "".join(f"{seal(line)}\n" for line in [*lines, head])
        path = self.paths.runs / f"{self.name}.jsonl"
        if self._file is None:
            make_folder(self.paths.runs)
        with storing(path):
            if self._file is None:
                self._file = path.open("xb", buffering=0)
                sync(self.paths.runs)
            _write(self._file, text.encode())
            os.fsync(self._file.fileno())
            path.stat()  # a removed file would take all that is written, and keep nothing

    def attach(self, place: Path, suffix: str, write: Callable[[BinaryIO], None]) -> str:
        """Put a file of the batch into a folder of the sweep; whole or not at all.

        Do so before the records that mention it are appended. Returns the file's name.
        """
        make_folder(place)
        self._attached += 1
        path = place / f"{self.name}-{self._attached}{suffix}"
        with replacing(path, durable=True) as partial, partial.open("wb") as file:
            write(file)
        return path.name

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _write(file: BinaryIO, text: bytes) -> None:
    """All of it; after an error the file ends where it did before."""
    end = file.tell()
    try:
        while text:
            text = text[file.write(text) :]
    except OSError:
        file.truncate(end)
        raise


def split(configs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings that are equal in all configs, and what is left of each."""
    first, *others = configs
    common = {
        name: value
        for name, value in first.items()
        if all(name in config and config[name] == value for config in others)
    }
    return common, [{k: v for k, v in config.items() if k not in common} for config in configs]
