"""The files between the process that starts workers and the workers.

In ``DIR/tasks/LAUNCH/``, LAUNCH being the time of the launch and some random letters:
``0007.json`` the share of worker 7, written before it starts, and ``0007.status.json`` what the
worker says of itself, replaced as a whole every few seconds. Every file has one writer. Records
that worker 7 writes are in ``DIR/runs/LAUNCH-0007.*.jsonl``.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynsweep.config import flatten
from dynsweep.launchers.jobs import Job
from dynsweep.store.files import replacing

FOLDER = "tasks"


@dataclass(frozen=True)
class Share:
    """The runs of one worker.

    Attributes:
        path: of its file.
        label: begins the names of the files that the worker writes, and of no others.
        directory: of the sweep.
        jobs: composed jobs.
    """

    path: Path
    label: str
    directory: Path
    jobs: tuple[Job, ...]

    def write(self) -> None:
        """Settings that all jobs have are written once."""
        configs = [flatten(job.config) for job in self.jobs]
        shared = {k: v for k, v in configs[0].items() if all(c.get(k) == v for c in configs)}
        rows = [
            {
                "number": job.number,
                "overrides": job.overrides,
                "config": {k: v for k, v in config.items() if shared.get(k, _NONE) != v},
            }
            for job, config in zip(self.jobs, configs, strict=True)
        ]
        whole = {"label": self.label, "directory": str(self.directory)}
        write_json(self.path, {**whole, "config": shared, "jobs": rows})

    @staticmethod
    def read(path: str | Path) -> Share:
        """The share in a file."""
        whole = json.loads(Path(path).read_text())
        jobs = tuple(
            Job(row["number"], row["overrides"], _nested({**whole["config"], **row["config"]}))
            for row in whole["jobs"]
        )
        return Share(Path(path), whole["label"], Path(whole["directory"]), jobs)


_NONE = object()


@dataclass
class Status:
    """What a worker says of itself.

    Attributes:
        state: ``running``, ``requeued`` (stopped, to go on later), ``finished`` or ``failed``.
        done: runs done, fractions of those in flight included.
        total: runs of its share.
        host: where it runs.
        pid: its process there.
        updated: seconds since 1970.
        error: why it failed.
        errors: of single runs, one line each.
    """

    state: str = "running"
    done: float = 0.0
    total: int = 0
    host: str = ""
    pid: int = 0
    updated: float = 0.0
    error: str = ""
    errors: list[str] = field(default_factory=list)

    def write(self, share: Path) -> None:
        """Replace the status of the share in file ``share``."""
        self.host, self.pid, self.updated = socket.gethostname(), os.getpid(), time.time()
        write_json(share.with_suffix(".status.json"), asdict(self))

    @staticmethod
    def read(share: Path) -> Status | None:
        """``None`` before the worker has said anything."""
        try:
            return Status(**json.loads(share.with_suffix(".status.json").read_text()))
        except FileNotFoundError:
            return None


def new_launch(directory: Path) -> Path:
    """A new, empty folder for shares."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    folder = directory.absolute() / FOLDER / f"{stamp}-{secrets.token_hex(3)}"
    folder.mkdir(parents=True)
    return folder


def write_shares(
    directory: Path, folder: Path, label: str, parts: Sequence[Sequence[Job]]
) -> list[Share]:
    """A share's file for each part in ``folder``, and labels that begin with ``label``."""
    whole = directory.absolute()
    shares = [
        Share(folder / f"{index:04d}.json", f"{label}{index:04d}.", whole, tuple(jobs))
        for index, jobs in enumerate(parts)
    ]
    for share in shares:
        share.write()
    return shares


def write_json(path: Path, value: Any) -> None:
    """The whole file or the one that was there before."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, separators=(",", ":")))


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`dynsweep.config.flatten`."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return nested
