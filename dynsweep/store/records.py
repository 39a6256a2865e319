"""The store: run records of a sweep directory, append-only and crash-safe.

Every writing process has one file of its own, ``DIR/runs/<time>-<host>-<pid>-<random>.jsonl``;
no file has two writers and no locks are needed, on a laptop or on NFS. A finished batch is
one append: a line with what its runs share, then a line per run. Readers take whole lines
only, so a process killed while writing leaves whole records or none. The final weights of a
batch stand beside it in one ``DIR/weights/*.npz``, and what was recorded along its runs in one
``DIR/trajectories/*.csv.gz``: both written (to a temporary name, then renamed) before the
records that mention them.
"""

from __future__ import annotations

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

import numpy as np
from numpy.typing import NDArray

COMPLETED, DIVERGED, FAILED = "completed", "diverged", "failed"
FINISHED = (COMPLETED, DIVERGED)
METRICS = ("train_accuracy", "validation_accuracy", "train_loss", "validation_loss")


@dataclass
class Record:
    """What is kept of one run.

    Attributes:
        id: :meth:`RunConfig.identity`.
        number: job number in the multirun that trained it.
        overrides: as typed, one ``key=value`` each.
        config: all settings, one level of dotted names.
        status: ``completed``, ``diverged`` (weights or loss not finite) or ``failed`` (raised).
        metrics: the four ``METRICS`` at the end; accuracies between 0 and 1, losses static.
        seconds: the run's share of its batch's wall time.
        error: the exception of a failed run, one line.
    """

    id: str
    number: int
    overrides: list[str]
    config: dict[str, Any]
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None


class Store:
    """Writer of one process into a sweep directory; the file appears with the first record.

    Args:
        directory: of the sweep.
        label: begins the names of this writer's files; by it :func:`read` finds them again.
    """

    def __init__(self, directory: str | Path, label: str = "") -> None:
        self.directory = Path(directory)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        host = socket.gethostname().split(".")[0]
        self.name = f"{label}{stamp}-{host}-{os.getpid()}-{secrets.token_hex(3)}"
        self.started = False
        self._file: int | None = None
        self._files = 0

    def append(self, records: Sequence[Record], shared: Mapping[str, Any]) -> None:
        """Add the records of one batch; they are on disk when this returns.

        Args:
            records: the runs of the batch.
            shared: facts that hold for all of them, such as engine, device and software, and
                the names of the batch's files.
        """
        if not records:
            return
        common = _common([record.config for record in records])
        lines: list[dict[str, Any]] = [{"batch": {**shared, "config": common}}]
        for record in records:
            own = {key: value for key, value in record.config.items() if key not in common}
            metrics = {k: v if math.isfinite(v) else None for k, v in record.metrics.items()}
            lines.append(
                {
                    "id": record.id,
                    "number": record.number,
                    "status": record.status,
                    **metrics,
                    "seconds": round(record.seconds, 6),
                    "error": record.error,
                    "config": own,
                    "overrides": record.overrides,
                }
            )
        self._write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))

    def attach(self, folder: str, suffix: str, write: Callable[[BinaryIO], None]) -> str:
        """Put a file of the batch into ``folder`` of the sweep directory; whole or not at all.

        Do so before the records that mention it are appended. Returns the file's name.
        """
        place = self.directory / folder
        place.mkdir(parents=True, exist_ok=True)
        self._files += 1
        path = place / f"{self.name}-{self._files}{suffix}"
        partial = path.with_name(f"{path.name}.partial")
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(place)
        return path.name

    def _write(self, text: str) -> None:
        if self._file is None:
            folder = self.directory / "runs"
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._file = os.open(folder / f"{self.name}.jsonl", flags, 0o644)
            self.started = True
            _sync_folder(folder)
        left = memoryview(text.encode())
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _common(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = configs[0]
    return {
        key: value
        for key, value in first.items()
        if all(key in config and config[key] == value for config in configs)
    }


def _sync_folder(folder: Path) -> None:
    """A new name survives a crash only once its folder is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def writers(directory: str | Path, label: str = "") -> list[Path]:
    """The files of records; with a ``label``, of the writers that bear it."""
    return sorted((Path(directory) / "runs").glob(f"{label}*.jsonl"))


def read(directory: str | Path, label: str = "") -> Iterator[dict[str, Any]]:
    """All records of a sweep directory, as written: a run may occur more than once.

    Args:
        directory: of the sweep.
        label: only of the writers that bear it.

    Yields:
        One dict per record: its own fields, its batch's shared ones, and ``config`` with all
        settings by dotted name. Metrics that were not finite are ``None``.
    """
    for path in writers(directory, label):
        head: dict[str, Any] = {}
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the writer was killed here
                entry = json.loads(line)
                if "batch" in entry:
                    head = entry["batch"]
                else:
                    yield {**head, **entry, "config": {**head["config"], **entry["config"]}}


def finished(directory: str | Path, label: str = "") -> dict[str, dict[str, Any]]:
    """The latest record of every run that completed or diverged, by run id."""
    return {entry["id"]: entry for entry in read(directory, label) if entry["status"] in FINISHED}


def latest(directory: str | Path) -> dict[str, dict[str, Any]]:
    """The latest record of every run, by run id; a failed one only if there is no other."""
    found: dict[str, dict[str, Any]] = {}
    for entry in read(directory):
        held = found.get(entry["id"])
        if held is None or entry["status"] in FINISHED or held["status"] not in FINISHED:
            found[entry["id"]] = entry
    return found


def write_weights(
    ids: Sequence[str], weights: Mapping[str, NDArray[np.floating]]
) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: arrays by name, first axis ``runs`` in the order of ``ids``."""
    return lambda file: np.savez(file, ids=np.array(ids), **weights)  # type: ignore[arg-type]


def load_weights(directory: str | Path, file: str, run_id: str) -> dict[str, NDArray[np.floating]]:
    """Final weights of one run, in the layout of ``Model.init``.

    Args:
        directory: the sweep directory.
        file: the record's ``weights``.
        run_id: the record's ``id``.
    """
    with np.load(Path(directory) / "weights" / file) as arrays:
        row = arrays["ids"].tolist().index(run_id)
        return {name: arrays[name][row] for name in arrays.files if name != "ids"}


def weights_of(directory: str | Path, file: str) -> dict[str, dict[str, NDArray[np.floating]]]:
    """Final weights of all runs of a batch, by run id; see :func:`load_weights`."""
    with np.load(Path(directory) / "weights" / file) as arrays:
        held = {name: arrays[name] for name in arrays.files if name != "ids"}
        return {
            run: {name: values[row] for name, values in held.items()}
            for row, run in enumerate(arrays["ids"].tolist())
        }
