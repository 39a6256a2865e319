"""Train the runs of a sweep: leave out what is done, train the rest in batches, record it.

The path of every run, whichever launcher started it: one job of Hydra's basic launcher is a
sweep of one.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynsweep.config import Run, flatten
from dynsweep.data import load
from dynsweep.engines import Engine, choose, group
from dynsweep.engines.batches import Batch, total_steps
from dynsweep.engines.devices import resolve_device
from dynsweep.errors import ConfigError
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
from dynsweep.sweep.outcomes import Outcomes, twins
from dynsweep.sweep.progress import Progress
from dynsweep.training.driver import Checkpoint, Outcome, train

log = logging.getLogger(__name__)


def check(runs: Sequence[Run], here: bool = True) -> None:
    """Raise :class:`ConfigError` for the first setting out of range, or that cannot be had.

    Where the grid is not to be trained on a machine like this one (``here``), CUDA is taken on
    trust.
    """
    for run in runs:
        run.settings.check()
    settings = [run.settings for run in runs]
    for positions in group(settings):
        first = settings[positions[0]]
        if here or first.device == "cpu":
            choose(first, resolve_device(first.device))
        samples = len(load(first.dataset).train_labels)
        size = first.optimizer.batch_size
        if size is not None and size > samples:
            allowed = f"must be at most {samples}, the size of the training set"
            raise ConfigError("optimizer.batch_size", size, allowed)


def run_sweep(
    runs: Sequence[Run],
    directory: str | Path,
    label: str = "",
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], Progress] = Progress,
) -> list[Any]:
    """Train what ``directory`` does not hold yet; return each run's objective or its error.

    Args:
        runs: all are checked before the first is trained.
        directory: of the store, see :mod:`dynsweep.store`.
        label: begins the names of the files written; of those there already only the files
            that bear it are looked at. The workers that share a sweep have one each.
        stop: asked a few times a second; once true, the batch in flight is saved and
            :class:`~dynsweep.training.driver.Preempted` raised.
        progress: makes what counts the runs, from their number.

    Returns:
        In the order of ``runs``: the run's ``objective`` (see
        :class:`~dynsweep.config.RunConfig`), or a :class:`~dynsweep.errors.RunFailed`.
    """
    check(runs)
    sweep = _Sweep(runs, directory, label, stop)
    sweep.train_missing(progress)
    return sweep.outcomes.results()


class _Sweep:
    """One call of :func:`run_sweep`. Runs go by their positions in the grid; a batch holds the
    leaders of twins, see :func:`~dynsweep.sweep.outcomes.twins`."""

    def __init__(
        self, runs: Sequence[Run], directory: str | Path, label: str, stop: Callable[[], bool]
    ) -> None:
        self.runs, self.stop = runs, stop
        self.outcomes = Outcomes(runs, directory, label)
        self.store = Store(directory, label)
        self.twins: dict[int, list[int]] = {}
        self._writers = self._other_writers()

    def _other_writers(self) -> int:
        files = self.store.paths.records(self.outcomes.label)
        return sum(path.stem != self.store.name for path in files)

    def train_missing(self, progress: Callable[[int], Progress]) -> None:
        todo = self.outcomes.missing()
        held, directory = len(self.runs) - len(todo), self.outcomes.directory
        if held:
            log.info("%d of %d runs are in %s already", held, len(self.runs), directory)
        if not todo:
            return
        self.twins = twins(self.runs, todo)
        leaders = list(self.twins)
        try:
            with progress(len(todo)) as counter:
                for places in group([self.runs[position].settings for position in leaders]):
                    self._train_group([leaders[place] for place in places], counter)
        finally:
            self.store.close()

    def _train_group(self, waiting: list[int], progress: Progress) -> None:
        first = self.runs[waiting[0]].settings
        device = resolve_device(first.device)
        engine = choose(first, device)
        # How many train together; less once memory was found short.
        self._size = first.engine.batch_size or engine.batch_size(first, device)
        log.info(
            "Training %d %s (%s, width %d, %d steps): %s engine on %s, up to %d together",
            len(waiting), "runs" if len(waiting) > 1 else "run", first.model.name,
            first.model.width, total_steps(first), engine.name, device, self._size,
        )  # fmt: skip
        while waiting:
            # Another process may work on the same directory: what it has finished is not missing.
            if self._other_writers() > self._writers:
                self.outcomes.refresh()
                for leader in waiting:
                    missing = self.outcomes.missing(self.twins[leader])
                    progress.advance(len(self.twins[leader]) - len(missing))
                    self.twins[leader] = missing
                waiting = [leader for leader in waiting if self.twins[leader]]
            batch, waiting = waiting[: self._size], waiting[self._size :]
            if batch:
                self._isolate(batch, engine, device, progress)

    def _isolate(
        self, leaders: list[int], engine: Engine, device: str, progress: Progress
    ) -> None:
        """Train a batch; if it raises, its halves, down to the run that is to blame."""
        batch = Batch(tuple(self.runs[leader].settings for leader in leaders))
        ids = [self.outcomes.identities[leader] for leader in leaders]
        minutes = batch.first.checkpoint_minutes
        checkpoint = Checkpoint(self.store.paths.checkpoints, ids, engine.name, minutes)
        count = sum(len(self.twins[leader]) for leader in leaders)
        half, trained, reason = len(leaders) // 2, 0.0, ""

        def on_steps(steps: int) -> None:
            nonlocal trained
            trained += steps * count / batch.steps
            progress.advance(steps * count / batch.steps)

        try:
            outcome = train(batch, engine, device, on_steps, checkpoint, self.stop)
        except Exception as error:
            # Only its text is kept: its traceback holds the memory of the batch.
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            log.debug("Training raised", exc_info=True)
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                self._size = min(self._size, max(1, half))
        if not reason:
            self._completed(leaders, outcome, engine, device)
        elif not half:
            self._failed(leaders[0], reason, engine, device)
        checkpoint.remove()
        if not (reason and half):
            progress.advance(count - trained)
            return
        progress.advance(-trained)
        for part in (leaders[:half], leaders[half:]):
            self._isolate(part, engine, device, progress)

    def _completed(
        self, leaders: Sequence[int], outcome: Outcome, engine: Engine, device: str
    ) -> None:
        """Record a batch that was trained to its end; its files before its records."""
        rows = [row for row, leader in enumerate(leaders) for _ in self.twins[leader]]
        positions = [position for leader in leaders for position in self.twins[leader]]
        records = [
            self._record(
                position,
                DIVERGED if outcome.diverged[row] else COMPLETED,
                metrics={name: float(outcome.metrics[name][row]) for name in METRICS},
                seconds=outcome.seconds / len(positions),
            )
            for row, position in zip(rows, positions, strict=True)
        ]
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
        self._append(positions, records, engine=engine.name, device=device, **files)

    def _failed(self, leader: int, reason: str, engine: Engine, device: str) -> None:
        records = [self._record(twin, FAILED, error=reason) for twin in self.twins[leader]]
        for record in records:
            log.error("Run %d failed: %s", record.number, reason)
        self._append(self.twins[leader], records, engine=engine.name, device=device)

    def _record(self, position: int, status: str, **outcome: Any) -> Record:
        run, identity = self.runs[position], self.outcomes.identities[position]
        config = flatten(run.settings)
        return Record(identity, run.number, run.overrides, config, status, **outcome)

    def _append(self, positions: Sequence[int], records: list[Record], **shared: str) -> None:
        shared["hardware"], shared["software"] = hardware(shared["device"]), software()
        shared["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.store.append(records, shared)
        for position, record in zip(positions, records, strict=True):
            self.outcomes.add(position, vars(record) | record.metrics)
