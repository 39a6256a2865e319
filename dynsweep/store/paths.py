"""Where everything of a sweep stands."""

from __future__ import annotations

from pathlib import Path


class SweepPaths:
    """The folders and files of one sweep directory; none need exist."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    @property
    def runs(self) -> Path:
        """Records, a file for each process that wrote any."""
        return self.directory / "runs"

    @property
    def weights(self) -> Path:
        """Final weights, a file for each batch."""
        return self.directory / "weights"

    @property
    def trajectories(self) -> Path:
        """What was observed along runs, a file for each batch."""
        return self.directory / "trajectories"

    @property
    def snapshots(self) -> Path:
        """Weights along runs, a file for each batch."""
        return self.directory / "snapshots"

    @property
    def checkpoints(self) -> Path:
        """States of batches in flight."""
        return self.directory / "checkpoints"

    @property
    def tasks(self) -> Path:
        """Shards of runs, and what their workers say, a folder for each launch."""
        return self.directory / "tasks"

    @property
    def multirun(self) -> Path:
        """Hydra's record of the command."""
        return self.directory / "multirun.yaml"

    @property
    def results(self) -> Path:
        """The table of runs."""
        return self.directory / "results.csv"

    @property
    def cells(self) -> Path:
        """The table of cells."""
        return self.directory / "cells.csv"

    @property
    def report(self) -> Path:
        """The page."""
        return self.directory / "report.html"

    def records(self, label: str = "") -> list[Path]:
        """The files of records; with a ``label``, of the writers that bear it."""
        return sorted(self.runs.glob(f"{label}*.jsonl"))
