"""Train the runs of a sweep: leave out what is done, train the rest in batches, record it.

The path of every run, whichever launcher started it: one job of Hydra's basic launcher is a
sweep of one.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dynsweep.config import Run
from dynsweep.data import load
from dynsweep.engines import Engine, choose, group
from dynsweep.engines.batches import Batch, total_steps
from dynsweep.engines.devices import resolve_device
from dynsweep.errors import ConfigError
from dynsweep.store import Store
from dynsweep.sweep.outcomes import Outcomes, twins
from dynsweep.sweep.progress import Progress
from dynsweep.sweep.recording import Recorder
from dynsweep.training.checkpoints import Checkpoint
from dynsweep.training.driver import train

log = logging.getLogger(__name__)


def check(runs: Sequence[Run], here: bool = True) -> None:
    """Raise :class:`ConfigError` for the first setting out of range, or that cannot be had.

    Args:
        runs: a grid.
        here: whether it will be trained on a machine like this one; else CUDA is taken on trust.
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
    def __init__(
        self, runs: Sequence[Run], directory: str | Path, label: str, stop: Callable[[], bool]
    ) -> None:
        self.runs, self.directory, self.label, self.stop = runs, directory, label, stop
        self.outcomes = Outcomes(runs, directory, label)
        self.store = Store(directory, label)
        self.twins: dict[int, list[int]] = {}
        self.recorder = Recorder(runs, self.outcomes, self.store, self.twins)
        self._fitting = sys.maxsize  # runs together, as far as memory was found short
        self._writers = self._count_writers()

    def _count_writers(self) -> int:
        return len(self.store.paths.records(self.label))

    def train_missing(self, progress: Callable[[int], Progress]) -> None:
        todo = self.outcomes.missing()
        held = len(self.runs) - len(todo)
        if held:
            log.info("%d of %d runs are in %s already", held, len(self.runs), self.directory)
        if not todo:
            return
        self.twins.update(twins(self.runs, todo))
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
        size = first.engine.batch_size or engine.batch_size(first, device)
        log.info(
            "Training %d %s (%s, width %d, %d steps): %s engine on %s, up to %d together",
            len(waiting), "runs" if len(waiting) > 1 else "run", first.model.name,
            first.model.width, total_steps(first), engine.name, device, size,
        )  # fmt: skip
        self._fitting = size
        while waiting:
            # Another process may work on the same directory: what it has finished is not missing.
            if self._count_writers() > self._writers + self.store.started:
                self.outcomes.refresh()
                waiting = self._still_missing(waiting, progress)
            batch, waiting = waiting[: self._fitting], waiting[self._fitting :]
            self._isolate(batch, engine, device, progress)

    def _still_missing(self, leaders: list[int], progress: Progress) -> list[int]:
        waiting = []
        for leader in leaders:
            missing = self.outcomes.missing(self.twins[leader])
            progress.advance(len(self.twins[leader]) - len(missing))
            if missing:
                self.twins[leader] = missing
                waiting.append(leader)
        return waiting

    def _isolate(
        self, leaders: list[int], engine: Engine, device: str, progress: Progress
    ) -> None:
        """Train a batch; if it raises, its halves, down to the run that is to blame."""
        if not leaders:
            return
        batch = Batch(tuple(self.runs[leader].settings for leader in leaders))
        ids = [self.outcomes.identities[leader] for leader in leaders]
        minutes = batch.first.checkpoint_minutes
        checkpoint = Checkpoint(self.store.paths.checkpoints, ids, engine.name, minutes)
        count = sum(len(self.twins[leader]) for leader in leaders)
        trained, reason = 0.0, ""

        def on_steps(steps: int) -> None:
            nonlocal trained
            trained += steps * count / batch.steps
            progress.advance(steps * count / batch.steps)

        try:
            outcome = train(batch, engine, device, on_steps, checkpoint, self.stop)
        except Exception as error:
            # Only its text is kept: its traceback holds the memory of the batch.
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            log.debug("%s", traceback.format_exc())
            if _out_of_memory(error):
                self._fitting = min(self._fitting, max(1, len(leaders) // 2))
        if not reason:
            progress.advance(count - trained)
            self.recorder.completed(leaders, outcome, engine.name, device)
            checkpoint.remove()
            return
        progress.advance(-trained)
        checkpoint.remove()
        if len(leaders) == 1:
            self.recorder.failed(leaders[0], reason, engine.name, device)
            progress.advance(count)
            return
        half = len(leaders) // 2
        self._isolate(leaders[:half], engine, device, progress)
        self._isolate(leaders[half:], engine, device, progress)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
