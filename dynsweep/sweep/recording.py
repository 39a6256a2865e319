"""What became of runs, put into the store: files of a batch first, then its records."""

import logging
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from dynsweep.config import flatten
from dynsweep.errors import StorageError
from dynsweep.store import (
    COMPLETED,
    DIVERGED,
    FAILED,
    FINISHED,
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
    """Records runs, by their positions in a grid, and notes them in its outcomes."""

    def __init__(self, outcomes: Outcomes, store: Store) -> None:
        self.outcomes, self.store = outcomes, store
        self.again, self.changed = 0, 0  # runs that had an outcome before, and now another

    def tell(self) -> None:
        """Say it if runs that were trained again did not come out the same."""
        if self.changed:
            log.warning(
                "%d of %d runs that were trained again came out otherwise than before, as on "
                "another processor, engine or version; the later outcomes count",
                self.changed, self.again,
            )  # fmt: skip

    def completed(
        self,
        positions: Sequence[int],
        rows: Sequence[int],
        outcome: Outcome,
        engine: str,
        device: str,
    ) -> None:
        """A batch that was trained to its end; ``rows`` are those of the runs in the outcome."""
        records = [
            self._record(
                position,
                DIVERGED if outcome.diverged[row] else COMPLETED,
                metrics={name: float(outcome.metrics[name][row]) for name in METRICS},
                seconds=outcome.seconds / len(positions),
            )
            for row, position in zip(rows, positions, strict=True)
        ]
        ids, paths = [record.id for record in records], self.store.paths
        files: dict[str, str] = {}
        no_room: StorageError | None = None

        def attach(name: str, place: Path, suffix: str, write: Callable[[BinaryIO], None]) -> None:
            nonlocal no_room
            try:
                files[name] = self.store.attach(place, suffix, write)
            except StorageError as error:
                no_room = error  # there may be room for the records, which count most

        if self.outcomes.runs[positions[0]].settings.save_weights:
            weights = {name: values[rows] for name, values in outcome.weights.items()}
            attach("weights", paths.weights, ".npz", write_weights(ids, weights))
        trajectory = outcome.trajectory.of_runs(rows)
        if any(name.startswith(WEIGHTS) for name in trajectory.names):
            attach("snapshots", paths.snapshots, ".npz", write_snapshots(ids, trajectory))
        if any(not name.startswith(WEIGHTS) for name in trajectory.names):
            attach("trajectory", paths.trajectories, ".csv.gz", write_trajectory(ids, trajectory))
        self._compare(positions, records)
        self._append(positions, records, engine=engine, device=device, **files)
        if no_room:
            raise no_room

    def _compare(self, positions: Sequence[int], records: Sequence[Record]) -> None:
        for position, record in zip(positions, records, strict=True):
            before = self.outcomes.record(position)
            if before is not None and before["status"] in FINISHED:
                self.again += 1
                old = [before[name] for name in METRICS]
                new = [
                    value if math.isfinite(value) else None for value in record.metrics.values()
                ]
                self.changed += old != new

    def failed(self, positions: Sequence[int], reason: str, engine: str, device: str) -> None:
        """Runs whose training raised."""
        records = [self._record(position, FAILED, error=reason) for position in positions]
        for record in records:
            log.error("Run %d failed: %s", record.number, reason)
        self._append(positions, records, engine=engine, device=device)

    def unfit(self, reasons: dict[int, str]) -> None:
        """Runs that cannot be trained, each with its reason."""
        records = [self._record(place, FAILED, error=text) for place, text in reasons.items()]
        self._append(list(reasons), records, engine="", device="")

    def _record(self, position: int, status: str, **outcome: Any) -> Record:
        run, identity = self.outcomes.runs[position], self.outcomes.identities[position]
        config = flatten(run.settings)
        return Record(identity, run.number, run.overrides, config, status, **outcome)

    def _append(self, positions: Sequence[int], records: list[Record], **shared: str) -> None:
        shared["hardware"], shared["software"] = hardware(shared["device"]), software()
        shared["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.store.append(records, shared)
        for position, record in zip(positions, records, strict=True):
            self.outcomes.add(position, vars(record) | record.metrics)


def record_unfit(outcomes: Outcomes) -> None:
    """Record the runs of a grid that cannot be trained, and are not recorded so yet."""
    if reasons := outcomes.refused():
        store = Store(outcomes.directory, outcomes.label)
        try:
            Recorder(outcomes, store).unfit(reasons)
        finally:
            store.close()
