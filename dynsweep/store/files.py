"""Where everything of a sweep stands, and files that are replaced as a whole."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SweepPaths:
    """The folders and files of one sweep directory; none need exist."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = root = Path(directory)
        self.runs = root / "runs"  # records, a file for each process that wrote any
        self.weights = root / "weights"  # final ones, a file for each batch
        self.trajectories = root / "trajectories"  # what was observed, a file for each batch
        self.snapshots = root / "snapshots"  # weights along runs, a file for each batch
        self.checkpoints = root / "checkpoints"  # states of batches in flight
        self.tasks = root / "tasks"  # shards and what their workers say, a folder for each launch
        self.multirun = root / "multirun.yaml"  # Hydra's record of the command
        self.results = root / "results.csv"  # the table of runs
        self.cells = root / "cells.csv"  # the table of cells
        self.report = root / "report.html"

    def records(self, label: str = "") -> list[Path]:
        """The files of records; with a ``label``, of the writers that bear it."""
        return sorted(self.runs.glob(f"{label}*.jsonl"))


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """A place to write a file anew: at the end it takes the name ``path``; after an error the
    file that was there before stays. Readers never see half. If it is to be ``durable``, it is on
    disk when the block ends, not only in the system's memory.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(3)}.partial")
    try:
        yield partial
        if durable:
            sync(partial)
        os.replace(partial, path)
        if durable:
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
