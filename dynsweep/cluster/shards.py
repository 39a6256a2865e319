"""What passes between the process that starts workers and the workers: files.

In ``DIR/tasks/LAUNCH/``, LAUNCH being the time of the launch and some random letters:
``0007.json`` the runs of worker 7, written before it starts; ``0007.status.json`` what it says of
itself, replaced as a whole every few seconds; ``tasks.json`` which task each shard went to. Every
file has one writer. Records that worker 7 writes are in ``DIR/runs/LAUNCH-0007.*.jsonl``. Paths
are relative to the sweep directory, which may be moved.
"""

import os
import secrets
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dynsweep.config import Run, flatten, from_flat
from dynsweep.config.secrets import without_secrets
from dynsweep.errors import DynsweepError
from dynsweep.store import Damaged, SweepPaths
from dynsweep.store.damage import left_out
from dynsweep.store.files import make_folder
from dynsweep.store.records import split
from dynsweep.store.sealed import read_json, write_json


@dataclass(frozen=True)
class Shard:
    """The runs of one worker, and the path of the file that holds them."""

    path: Path
    runs: tuple[Run, ...]

    @property
    def directory(self) -> Path:
        """Of the sweep."""
        return self.path.parents[2]

    @property
    def label(self) -> str:
        """Begins the names of the files that the worker writes, and of no others."""
        return f"{self.path.parent.name}-{self.path.stem}."

    def identities(self) -> set[str]:
        """Of its runs."""
        return {run.settings.identity() for run in self.runs}

    def write(self) -> None:
        """Settings that all runs have are written once."""
        shared, own = split([flatten(run.settings) for run in self.runs])
        rows = [
            {"number": run.number, "overrides": run.overrides, "config": config}
            for run, config in zip(self.runs, own, strict=True)
        ]
        write_json(self.path, {"config": shared, "runs": rows})

    @staticmethod
    def read(path: Path) -> "Shard":
        """The shard in a file, or :class:`Damaged`."""
        content = read_json(path)
        try:
            runs = [
                Run(row["number"], row["overrides"], from_flat(content["config"] | row["config"]))
                for row in content["runs"]
            ]
        except (KeyError, TypeError, DynsweepError):
            raise Damaged(path, "is damaged") from None
        return Shard(path, tuple(runs))


@dataclass
class WorkerStatus:
    """What a worker says of itself."""

    state: str = "running"  # or requeued (stopped, to go on later), finished, failed
    done: float = 0.0  # runs, with fractions of those in flight
    total: int = 0  # runs of its shard
    host: str = ""
    pid: int = 0  # its process there
    updated: float = 0.0  # seconds since 1970
    error: str = ""  # why it failed
    errors: list[str] = field(default_factory=list)  # of single runs, one line each

    def write(self, shard: Path) -> None:
        """Replace the status of the worker of the shard in file ``shard``."""
        self.host, self.pid, self.updated = socket.gethostname(), os.getpid(), time.time()
        write_json(shard.with_suffix(".status.json"), vars(self))

    @staticmethod
    def read(shard: Path) -> "WorkerStatus | None":
        """``None`` before the worker has said anything that can be read."""
        try:
            return WorkerStatus(**read_json(shard.with_suffix(".status.json")))
        except (Damaged, TypeError):
            return None


@dataclass(frozen=True)
class Submission:
    """A shard that was given to a worker."""

    shard: Path  # of its file
    job: str  # the task that trains it: 12_3 in an array of Slurm's, or a process
    log: Path  # what the task prints
    runs: int
    scheduler: str  # slurm, or local for this machine


def arrays(jobs: Iterable[str]) -> list[str]:
    """The jobs of which these are tasks: ``12_3`` is one of job ``12``."""
    return sorted({job.partition("_")[0] for job in jobs})


def new_launch(directory: str | Path) -> Path:
    """A new, empty folder for shards."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    folder = SweepPaths(directory).tasks.absolute() / f"{stamp}-{secrets.token_hex(3)}"
    return make_folder(folder)


def write_shards(folder: Path, parts: Sequence[Sequence[Run]], stem: str = "") -> list[Shard]:
    """A shard for each part, in files of ``folder`` whose names begin with ``stem``."""
    shards = [Shard(folder / f"{stem}{k:04d}.json", tuple(part)) for k, part in enumerate(parts)]
    for shard in shards:
        shard.write()
    return shards


def write_submissions(folder: Path, submissions: Sequence[Submission]) -> None:
    """Note which tasks train the shards of a launch, for later launches and ``--status``."""
    top = folder.parents[1]
    rows = [
        vars(one) | {"shard": one.shard.name, "log": os.path.relpath(one.log, top)}
        for one in submissions
    ]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(
        folder / "tasks.json",
        {"submitted": now, "command": without_secrets(sys.argv), "tasks": rows},
    )


def read_submissions(directory: str | Path) -> list[Submission]:
    """Those of all launches, the oldest first; not of a version that wrote absolute paths."""
    top = Path(directory).absolute()
    submissions: list[Submission] = []
    for file in sorted(SweepPaths(top).tasks.glob("*/tasks.json")):
        try:
            submissions += [
                Submission(
                    **row | {"shard": file.with_name(row["shard"]), "log": top / row["log"]}
                )
                for row in read_json(file)["tasks"]
                if "shard" in row
            ]
        except (Damaged, KeyError, TypeError) as error:
            what = error if isinstance(error, Damaged) else Damaged(file, "is damaged")
            left_out(what, "the tasks of this launch are not looked at")
    return submissions
