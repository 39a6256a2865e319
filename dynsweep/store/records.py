"""The writer of the store: run records of a sweep directory, append-only and crash-safe."""

import json
import math
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from dynsweep.metrics import COLUMNS
from dynsweep.store.files import replacing, sync
from dynsweep.store.paths import SweepPaths

COMPLETED, DIVERGED, FAILED = "completed", "diverged", "failed"
STATUSES = (COMPLETED, DIVERGED, FAILED)
FINISHED = (COMPLETED, DIVERGED)
METRICS = tuple(COLUMNS)

# Of the files of records. 1 (f780529 and before) has no such number, and ids under another rule.
FORMAT = 2


@dataclass
class Record:
    """What is kept of one run.

    Attributes:
        id: :meth:`RunConfig.identity`.
        number: job number in the multirun that trained it.
        overrides: as typed, one ``key=value`` each.
        config: all settings, one level of dotted names.
        status: ``completed``, ``diverged`` (weights or loss not finite) or ``failed`` (raised).
        metrics: those of :mod:`dynsweep.metrics` at the end; losses without class weights.
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
        label: begins the names of this writer's files; by it readers find them again.
    """

    def __init__(self, directory: str | Path, label: str = "") -> None:
        self.paths = SweepPaths(directory)
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
        lines: list[dict[str, Any]] = [{"batch": {"format": FORMAT, **shared, "config": common}}]
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

    def attach(self, place: Path, suffix: str, write: Callable[[BinaryIO], None]) -> str:
        """Put a file of the batch into a folder of the sweep; whole or not at all.

        Do so before the records that mention it are appended. Returns the file's name.
        """
        place.mkdir(parents=True, exist_ok=True)
        self._files += 1
        path = place / f"{self.name}-{self._files}{suffix}"
        with replacing(path, durable=True) as partial, partial.open("wb") as file:
            write(file)
        return path.name

    def _write(self, text: str) -> None:
        if self._file is None:
            folder = self.paths.runs
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._file = os.open(folder / f"{self.name}.jsonl", flags, 0o644)
            self.started = True
            sync(folder)
        left = memoryview(text.encode())
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _common(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def everywhere(key: str, value: Any) -> bool:
        return all(key in config and config[key] == value for config in configs)

    return {key: value for key, value in configs[0].items() if everywhere(key, value)}
