"""From the outcome of a batch to the records of its runs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from dynsweep.config import Run, flatten
from dynsweep.store import (
    COMPLETED,
    DIVERGED,
    FAILED,
    METRICS,
    WEIGHTS,
    Record,
    Store,
    write_snapshots,
    write_trajectory,
    write_weights,
)
from dynsweep.store.provenance import hardware, software
from dynsweep.sweep.outcomes import Outcomes
from dynsweep.training.driver import Outcome

log = logging.getLogger(__name__)


class Recorder:
    """Writes records, and the files of batches before them.

    Args:
        runs: the grid.
        outcomes: hears of every record.
        store: where they go.
        twins: positions of the runs with the same outcome, by that of the trained one.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        outcomes: Outcomes,
        store: Store,
        twins: Mapping[int, Sequence[int]],
    ) -> None:
        self.runs, self.outcomes, self.store, self.twins = runs, outcomes, store, twins

    def completed(
        self, leaders: Sequence[int], outcome: Outcome, engine: str, device: str
    ) -> None:
        """Record a batch that was trained to its end."""
        rows = [row for row, leader in enumerate(leaders) for _ in self.twins[leader]]
        positions = [position for leader in leaders for position in self.twins[leader]]
        records = []
        for row, position in zip(rows, positions, strict=True):
            record = self._record(position, DIVERGED if outcome.diverged[row] else COMPLETED)
            record.metrics = {name: float(outcome.metrics[name][row]) for name in METRICS}
            record.seconds = outcome.seconds / len(positions)
            records.append(record)
        ids, files, paths = [record.id for record in records], {}, self.store.paths
        if self.runs[positions[0]].settings.save_weights:
            weights = {name: values[rows] for name, values in outcome.weights.items()}
            write = write_weights(ids, weights)
            files["weights"] = self.store.attach(paths.weights, ".npz", write)
        trajectory = outcome.trajectory.of_runs(rows)
        if any(name.startswith(WEIGHTS) for name in trajectory.names):
            write = write_snapshots(ids, trajectory)
            files["snapshots"] = self.store.attach(paths.snapshots, ".npz", write)
        if any(not name.startswith(WEIGHTS) for name in trajectory.names):
            write = write_trajectory(ids, trajectory)
            files["trajectory"] = self.store.attach(paths.trajectories, ".csv.gz", write)
        self._append(positions, records, {"engine": engine, "device": device, **files})

    def failed(self, leader: int, reason: str, engine: str, device: str) -> None:
        """Record a run that raised."""
        positions = self.twins[leader]
        records = [replace(self._record(p, FAILED), error=reason) for p in positions]
        for record in records:
            log.error("Run %d failed: %s", record.number, reason)
        self._append(positions, records, {"engine": engine, "device": device})

    def _record(self, position: int, status: str) -> Record:
        run, identity = self.runs[position], self.outcomes.identities[position]
        return Record(identity, run.number, run.overrides, flatten(run.settings), status)

    def _append(
        self, positions: Sequence[int], records: list[Record], shared: dict[str, str]
    ) -> None:
        facts = {
            "hardware": hardware(shared["device"]),
            "software": software(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.store.append(records, shared | facts)
        for position, record in zip(positions, records, strict=True):
            outcome = {"status": record.status, "error": record.error, **record.metrics}
            self.outcomes.add(position, outcome)
