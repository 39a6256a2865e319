"""Where everything of a sweep stands."""

from pathlib import Path


class SweepPaths:
    """The folders and files of one sweep directory; none need exist.

    Attributes:
        runs: records, a file for each process that wrote any.
        weights: final weights, a file for each batch.
        trajectories: what was observed along runs, a file for each batch.
        snapshots: weights along runs, a file for each batch.
        checkpoints: states of batches in flight.
        tasks: shards of runs and what their workers say, a folder for each launch.
        multirun: Hydra's record of the command.
        results: the table of runs.
        cells: the table of cells.
        report: the page.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = root = Path(directory)
        self.runs, self.weights = root / "runs", root / "weights"
        self.trajectories, self.snapshots = root / "trajectories", root / "snapshots"
        self.checkpoints, self.tasks = root / "checkpoints", root / "tasks"
        self.multirun, self.report = root / "multirun.yaml", root / "report.html"
        self.results, self.cells = root / "results.csv", root / "cells.csv"

    def records(self, label: str = "") -> list[Path]:
        """The files of records; with a ``label``, of the writers that bear it."""
        return sorted(self.runs.glob(f"{label}*.jsonl"))
