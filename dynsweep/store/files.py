"""Where everything of a sweep stands, and files that are replaced as a whole."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynsweep.errors import StorageError
from dynsweep.store.owners import owner


class SweepPaths:
    """The folders and files of one sweep directory; none need exist."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = root = Path(directory)
        self.runs = root / "runs"  # records, a file for each process that wrote any
        self.weights = root / "weights"  # final ones, a file for each batch
        self.trajectories = root / "trajectories"  # what was observed, a file for each batch
        self.snapshots = root / "snapshots"  # weights along runs, a file for each batch
        self.checkpoints = root / "checkpoints"  # states of batches in flight
        self.claims = root / "claims"  # what processes at work train now, a file for each
        self.tasks = root / "tasks"  # shards and what their workers say, a folder for each launch
        self.rounds = root / "rounds.jsonl"  # what an adaptive sweep asked for, a line a round
        self.multirun = root / "multirun.yaml"  # Hydra's record of the command
        self.results = root / "results.csv"  # the table of runs
        self.cells = root / "cells.csv"  # the table of cells
        self.variance = root / "variance.csv"  # which settings explain how much
        self.report = root / "report.html"

    def records(self, label: str = "") -> list[Path]:
        """The files of records; with a ``label``, those that may hold runs of the writer that
        bears it: not of its siblings, which share a launch with it, and have other runs."""
        launch = label.rpartition("-")[0]
        return [
            path
            for path in sorted(self.runs.glob("*.jsonl"))
            if path.name.startswith(label) or not path.name.startswith(f"{launch}-")
        ]


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """What the system says against a write, as a :class:`StorageError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise StorageError(path, error) from error


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """A place to write a file anew: at the end it takes the name ``path``; after an error the
    file that was there before stays. Readers never see half. If it is to be ``durable``, it is on
    disk when the block ends, not only in the system's memory.

    Raises:
        StorageError: there is no room, or no permission.
    """
    partial = path.with_name(f".{path.name}.{owner()}-{secrets.token_hex(3)}.partial")
    with storing(path):
        try:
            yield partial
            if durable:
                sync(partial)
            os.replace(partial, path)
            if durable:
                sync(path.parent)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    """Make a folder and those above it, if they are not there."""
    with storing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
