"""Records of runs: their writer, append-only and crash-safe, and their readers."""

import json
import math
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from dynsweep.config.run import digest, distinguishing
from dynsweep.errors import DynsweepError
from dynsweep.metrics import COLUMNS
from dynsweep.store.files import SweepPaths, replacing, sync

COMPLETED, DIVERGED, FAILED = "completed", "diverged", "failed"
STATUSES = (COMPLETED, DIVERGED, FAILED)
FINISHED = (COMPLETED, DIVERGED)
METRICS = tuple(COLUMNS)

# Of the files of records. 1 (f780529 and before) has no such number, and ids under another rule.
FORMAT = 2


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
        host = socket.gethostname().split(".")[0]
        self.name = f"{label}{stamp}-{host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._file: BinaryIO | None = None
        self._attached = 0

    def append(self, records: Sequence[Record], shared: Mapping[str, Any]) -> None:
        """Add the records of one batch; they are on disk when this returns.

        Args:
            records: the runs of the batch.
            shared: facts that hold for all of them, such as engine, device and software, and
                the names of the batch's files.
        """
        common, own = split([record.config for record in records])
        lines: list[dict[str, Any]] = [{"batch": {"format": FORMAT, **shared, "config": common}}]
        for record, config in zip(records, own, strict=True):
            metrics = {k: v if math.isfinite(v) else None for k, v in record.metrics.items()}
            line = {**vars(record), **metrics, "config": config}
            del line["metrics"]
            lines.append(line | {"seconds": round(record.seconds, 6)})
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        if self._file is None:
            self.paths.runs.mkdir(parents=True, exist_ok=True)
            self._file = (self.paths.runs / f"{self.name}.jsonl").open("xb")
            sync(self.paths.runs)
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def attach(self, place: Path, suffix: str, write: Callable[[BinaryIO], None]) -> str:
        """Put a file of the batch into a folder of the sweep; whole or not at all.

        Do so before the records that mention it are appended. Returns the file's name.
        """
        place.mkdir(parents=True, exist_ok=True)
        self._attached += 1
        path = place / f"{self.name}-{self._attached}{suffix}"
        with replacing(path, durable=True) as partial, partial.open("wb") as file:
            write(file)
        return path.name

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def split(configs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings that are equal in all configs, and what is left of each."""
    first, *others = configs
    common = {
        name: value
        for name, value in first.items()
        if all(name in config and config[name] == value for config in others)
    }
    return common, [{k: v for k, v in config.items() if k not in common} for config in configs]


def read(directory: str | Path, label: str = "") -> Iterator[dict[str, Any]]:
    """All records of a sweep directory, or of the writers that bear a label, as written: a run
    may occur more than once.

    Yields:
        One dict per record: its own fields, its batch's shared ones, ``config`` with all settings
        by dotted name, and ``identity``, which follows from the config under the present rule,
        whatever rule the record's ``id`` is of; files of the batch know the run by ``id``. Metrics
        that were not finite are ``None``.

    Raises:
        DynsweepError: a file is of a later format.
    """
    for path in SweepPaths(directory).records(label):
        head: dict[str, Any] = {}
        shared: dict[str, Any] = {}
        named = False
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the writer was killed here
                entry = json.loads(line)
                if "batch" in entry:
                    head = entry["batch"]
                    if head.get("format", 1) > FORMAT:
                        raise DynsweepError(
                            f"{path}: of format {head['format']}, written by a newer dynsweep; "
                            f"this one reads up to {FORMAT}"
                        )
                    # Of most records' identity only the varied settings are looked at one by one.
                    named = {"dataset.name", "model.name"} <= head["config"].keys()
                    shared = distinguishing(head["config"], head["config"]) if named else {}
                    continue
                config = {**head["config"], **entry["config"]}
                rest = distinguishing(entry["config"] if named else config, config)
                identity = digest({**shared, **rest})
                yield {**head, **entry, "config": config, "identity": identity}


def latest(directory: str | Path, label: str = "") -> dict[str, dict[str, Any]]:
    """Of every run the record that counts, by identity: its latest finished one, or its latest."""
    records: dict[str, dict[str, Any]] = {}
    for entry in read(directory, label):
        held = records.get(entry["identity"])
        if held is None or supersedes(entry["status"], held["status"]):
            records[entry["identity"]] = entry
    return records


def supersedes(status: str, earlier: str) -> bool:
    """Whether a record counts instead of an earlier one of the same run, by their statuses."""
    return status in FINISHED or earlier not in FINISHED
