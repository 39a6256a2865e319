"""Run the jobs of a sweep: leave out what is done, train the rest in batches, record it.

The path of every run, whichever launcher started it: one job of Hydra's basic launcher is a
sweep of one.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynsweep.config import RunConfig, flatten, run_config
from dynsweep.data import load
from dynsweep.engines import Engine, choose
from dynsweep.engines.batches import Batch, group, total_steps
from dynsweep.engines.devices import resolve_device
from dynsweep.errors import ConfigError
from dynsweep.launchers.jobs import Job
from dynsweep.store.provenance import hardware, software
from dynsweep.store.records import (
    COMPLETED,
    DIVERGED,
    FAILED,
    METRICS,
    Record,
    Store,
    finished,
    read,
    write_weights,
    writers,
)
from dynsweep.store.trajectories import WEIGHTS, write_snapshots, write_trajectory
from dynsweep.sweep.outcomes import result
from dynsweep.sweep.progress import Progress
from dynsweep.training.checkpoints import Checkpoint
from dynsweep.training.driver import Outcome, train

log = logging.getLogger(__name__)


def check(jobs: Sequence[Job], here: bool = True) -> list[RunConfig]:
    """The typed config of every job.

    Args:
        jobs: composed jobs.
        here: whether they will be trained on a machine like this one; else CUDA is taken on
            trust.

    Raises:
        ConfigError: for the first setting that is out of range, or cannot be had here.
    """
    runs = [run_config(job.config) for job in jobs]
    for positions in group(runs):
        first = runs[positions[0]]
        if here or first.device == "cpu":
            choose(first, resolve_device(first.device))
        _check_data(first)
    return runs


def _check_data(run: RunConfig) -> None:
    """That the data are there, and enough for a minibatch."""
    samples = len(load(run.dataset).train_labels)
    size = run.optimizer.batch_size
    if size is not None and size > samples:
        allowed = f"must be at most {samples}, the size of the training set"
        raise ConfigError("optimizer.batch_size", size, allowed)


def run_jobs(
    jobs: Sequence[Job],
    directory: str | Path,
    label: str = "",
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], Progress] = Progress,
) -> list[Any]:
    """Train what ``directory`` does not hold yet; return each job's objective or its error.

    Args:
        jobs: composed jobs; all are checked before the first is trained.
        directory: of the store, see :mod:`dynsweep.store.records`.
        label: begins the names of the files written; of those there already only the files
            that bear it are looked at. The workers that share a sweep have one each.
        stop: asked a few times a second; once true, the batch in flight is saved and
            :class:`~dynsweep.training.driver.Preempted` raised.
        progress: makes what counts the runs, from their number.

    Returns:
        In the order of ``jobs``: the run's ``objective`` (see :class:`RunConfig`), or a
        :class:`~dynsweep.sweep.outcomes.RunFailed`.
    """
    runs = check(jobs)
    sweep = _Sweep(jobs, runs, directory, label, stop)
    sweep.train_missing(progress)
    return [sweep.result(position) for position in range(len(jobs))]


class _Sweep:
    def __init__(
        self,
        jobs: Sequence[Job],
        runs: Sequence[RunConfig],
        directory: str | Path,
        label: str,
        stop: Callable[[], bool],
    ) -> None:
        self.jobs, self.runs = jobs, runs
        self.directory = Path(directory)
        self.label, self.stop = label, stop
        self.ids = [run.identity() for run in runs]
        self.store = Store(directory, label)
        self.outcomes: dict[str, Record | dict[str, Any]] = {}

    def result(self, position: int) -> Any:
        outcome = self.outcomes[self.ids[position]]
        if isinstance(outcome, Record):
            outcome = {"status": outcome.status, "error": outcome.error, **outcome.metrics}
        return result(outcome, self.runs[position])

    def train_missing(self, progress: Callable[[int], Progress]) -> None:
        self._take_over()
        todo = self._missing(range(len(self.jobs)))
        held = len(self.jobs) - len(todo)
        if held:
            log.info("%d of %d runs are in %s already", held, len(self.jobs), self.directory)
        if not todo:
            return
        try:
            with progress(len(todo)) as counter:
                for positions in group([self.runs[position] for position in todo]):
                    self._train_group([todo[index] for index in positions], counter)
        finally:
            self.store.close()

    def _take_over(self) -> None:
        """Learn what the directory holds; failed runs only count where they are not retried."""
        self.outcomes.update(finished(self.directory, self.label))
        if any(not run.retry_failed for run in self.runs):
            retry = {i: run.retry_failed for i, run in zip(self.ids, self.runs, strict=True)}
            for entry in read(self.directory, self.label):
                if not retry.get(entry["id"], True):
                    self.outcomes.setdefault(entry["id"], entry)
        self._writers = self._count_writers()

    def _count_writers(self) -> int:
        return len(writers(self.directory, self.label))

    def _missing(self, positions: Sequence[int]) -> list[int]:
        """Those of ``positions`` without an outcome; equal runs once."""
        missing: dict[str, int] = {}
        for position in positions:
            if self.ids[position] not in self.outcomes:
                missing.setdefault(self.ids[position], position)
        return list(missing.values())

    def _train_group(self, positions: list[int], progress: Progress) -> None:
        first = self.runs[positions[0]]
        device = resolve_device(first.device)
        engine = choose(first, device)
        size = first.engine.batch_size or engine.batch_size(first, device)
        log.info(
            "Training %d %s (%s, width %d, %d steps): %s engine on %s, up to %d together",
            len(positions), "runs" if len(positions) > 1 else "run", first.model.name,
            first.model.width, total_steps(first), engine.name, device, size,
        )  # fmt: skip
        waiting = positions
        while waiting:
            # Another process may work on the same directory: what it has finished is not missing.
            if self._count_writers() > self._writers + self.store.started:
                self.outcomes.update(finished(self.directory, self.label))
                still = self._missing(waiting)
                progress.advance(len(waiting) - len(still))
                waiting = still
            chosen, waiting = waiting[:size], waiting[size:]
            for done, error in self._isolate(chosen, engine, device, progress):
                if error is not None and _out_of_memory(error):
                    size = max(1, len(done) // 2)

    def _isolate(
        self, positions: list[int], engine: Engine, device: str, progress: Progress
    ) -> Iterator[tuple[list[int], Exception | None]]:
        """Train a batch; if it raises, its halves, down to the run that is to blame."""
        if not positions:
            return
        trained = 0.0
        batch = Batch(tuple(self.runs[position] for position in positions))
        ids = [self.ids[position] for position in positions]
        minutes = batch.first.checkpoint_minutes
        checkpoint = Checkpoint(self.directory, ids, engine.name, minutes)

        def on_steps(steps: int) -> None:
            nonlocal trained
            trained += steps * len(positions) / batch.steps
            progress.advance(steps * len(positions) / batch.steps)

        try:
            outcome = train(batch, engine, device, on_steps, checkpoint, self.stop)
        except Exception as error:
            progress.advance(-trained)
            checkpoint.remove()
            log.debug("%s", traceback.format_exc())
            if len(positions) > 1:
                yield positions, error
                half = len(positions) // 2
                yield from self._isolate(positions[:half], engine, device, progress)
                yield from self._isolate(positions[half:], engine, device, progress)
                return
            self._record_failure(positions[0], engine, device, error)
            progress.advance(1)
            yield positions, error
            return
        progress.advance(len(positions) - trained)
        self._record(positions, engine, device, outcome)
        checkpoint.remove()
        yield positions, None

    def _record(self, positions: list[int], engine: Engine, device: str, outcome: Outcome) -> None:
        metrics = {name: getattr(outcome.metrics, name).tolist() for name in METRICS}
        records = []
        for row, position in enumerate(positions):
            record = self._new_record(position, DIVERGED if outcome.diverged[row] else COMPLETED)
            record.metrics = {name: values[row] for name, values in metrics.items()}
            record.seconds = outcome.seconds / len(positions)
            records.append(record)
        ids, files = [record.id for record in records], {}
        if self.runs[positions[0]].save_weights:
            write = write_weights(ids, outcome.weights)
            files["weights"] = self.store.attach("weights", ".npz", write)
        recorded = outcome.trajectory.names
        if any(name.startswith(WEIGHTS) for name in recorded):
            write = write_snapshots(ids, outcome.trajectory)
            files["snapshots"] = self.store.attach("snapshots", ".npz", write)
        if any(not name.startswith(WEIGHTS) for name in recorded):
            write = write_trajectory(ids, outcome.trajectory)
            files["trajectory"] = self.store.attach("trajectories", ".csv.gz", write)
        self._append(records, engine, device, files)

    def _record_failure(
        self, position: int, engine: Engine, device: str, error: Exception
    ) -> None:
        record = self._new_record(position, FAILED)
        record.error = " ".join(f"{type(error).__name__}: {error}".split())
        log.error("Run %d failed: %s", record.number, record.error)
        self._append([record], engine, device, {})

    def _new_record(self, position: int, status: str) -> Record:
        job = self.jobs[position]
        return Record(self.ids[position], job.number, job.overrides, flatten(job.config), status)

    def _append(
        self, records: list[Record], engine: Engine, device: str, files: dict[str, str]
    ) -> None:
        shared = {
            "engine": engine.name,
            "device": device,
            "hardware": hardware(device),
            "software": software(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **files,
        }
        self.store.append(records, shared)
        self.outcomes.update((record.id, record) for record in records)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
