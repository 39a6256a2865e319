"""Train the runs of a sweep: leave out what is done, train the rest in batches, record it.

The path of every run, whichever launcher started it: one job of Hydra's basic launcher is a
sweep of one.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dynsweep.config import ObserveConfig, Run
from dynsweep.engines import group
from dynsweep.engines.batches import Batch
from dynsweep.engines.faults import answers, release, short_of_memory
from dynsweep.errors import DeviceLost, Preempted, StorageError
from dynsweep.store import Store
from dynsweep.sweep.claims import Claim, Claims
from dynsweep.sweep.leftovers import remove_checkpoints
from dynsweep.sweep.outcomes import Outcomes, Twins, twins
from dynsweep.sweep.plan import Part, say_estimate
from dynsweep.sweep.progress import Progress
from dynsweep.sweep.recording import Recorder, record_unfit
from dynsweep.sweep.teams import Team, Unfit, check
from dynsweep.training.driver import Checkpoint, train

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.5  # between two looks at what other processes do


def run_sweep(
    runs: Sequence[Run],
    directory: str | Path,
    label: str = "",
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], Progress] = Progress,
    unfit: Unfit | None = None,
    estimated: bool = False,
) -> list[Any]:
    """Train what ``directory`` does not hold yet; return each run's objective or its error.

    Args:
        runs: all are checked before the first is trained.
        directory: of the store, see :mod:`dynsweep.store`.
        label: begins the names of the files written; of those there already only the files
            that bear it are looked at. The workers that share a sweep have one each.
        stop: asked a few times a second; once true, the batch in flight is saved and
            :class:`~dynsweep.errors.Preempted` raised.
        progress: makes what counts the runs, from their number.
        unfit: runs that cannot be trained, where they were checked before: they are recorded as
            failed.
        estimated: whether it is told at the start how long that takes.

    Returns:
        In the order of ``runs``: the run's ``objective`` (see
        :class:`~dynsweep.config.RunConfig`), or a :class:`~dynsweep.errors.RunFailed`.
    """
    outcomes = Outcomes(runs, directory, label, check(runs) if unfit is None else unfit)
    sweep = _Sweep(outcomes, stop)
    sweep.train_missing(progress, estimated)
    return outcomes.results()


class _Sweep:
    """One call of :func:`run_sweep`. Runs go by their positions in the grid; a batch holds the
    leaders of twins, see :func:`~dynsweep.sweep.outcomes.twins`."""

    def __init__(self, outcomes: Outcomes, stop: Callable[[], bool]) -> None:
        self.outcomes, self.runs, self.stop = outcomes, outcomes.runs, stop
        self.store = Store(outcomes.directory, outcomes.label)
        self.recorder = Recorder(outcomes, self.store)
        self.claims = Claims(outcomes.directory)
        self.twins = Twins()
        self._told = False  # of another process

    def train_missing(self, progress: Callable[[int], Progress], estimated: bool) -> None:
        record_unfit(self.outcomes)
        todo = self.outcomes.missing()
        directory = self.outcomes.directory
        self.outcomes.tell(todo)
        if not todo:
            return
        leaders, self.twins = twins(self.runs, todo)
        groups = [
            [leaders[place] for place in places]
            for places in group([self.runs[position].settings for position in leaders])
        ]
        if estimated:
            some = ([self.runs[leader].settings for leader in leaders] for leaders in groups)
            say_estimate([*map(Part.of, some)])
        try:
            with progress(len(todo)) as counter:
                self._train_groups(groups, counter)
            self.recorder.tell()
            remove_checkpoints(directory, self.outcomes.recorded)
        finally:
            self.store.close()

    def _train_groups(self, groups: list[list[int]], progress: Progress) -> None:
        """Train them all; at last wait for what other processes have claimed."""
        teams = [Team(waiting, self.runs[waiting[0]].settings) for waiting in groups]
        waited = False
        while True:
            for team in teams:
                self._train_team(team, progress)
            teams = [team for team in teams if team.waiting]
            if not teams:
                return
            if not waited:
                waited = True
                count = sum(len(self.twins[leader]) for team in teams for leader in team.waiting)
                log.info("Waiting for the %d runs of the other process", count)
            if self.stop():
                raise Preempted
            time.sleep(WAIT_SECONDS)

    def _train_team(self, team: Team, progress: Progress) -> None:
        """Train what no other process has claimed."""

        def choose(others: list[Claim]) -> tuple[list[int], list[str]]:
            # What another process has finished is not missing.
            self.outcomes.refresh(self.store.name)
            for leader in team.waiting:
                missing = self.outcomes.missing(self.twins[leader])
                if len(missing) < len(self.twins[leader]):
                    progress.advance(len(self.twins[leader]) - len(missing))
                    self.twins[leader] = missing
            team.waiting = [leader for leader in team.waiting if self.twins[leader]]
            taken = set[str]().union(*(claim.runs for claim in others))
            free = [one for one in team.waiting if taken.isdisjoint(self._identities(one))]
            if len(free) < len(team.waiting) and not self._told:
                self._told = True
                names = ", ".join(sorted({claim.owner for claim in others}))
                log.info("Another process is at work here (%s): its runs are left to it", names)
            batch = free[: team.size]
            return batch, [identity for one in batch for identity in self._identities(one)]

        while team.waiting:
            with self.claims.claim(choose) as batch:
                if not batch:
                    return
                team.say(len(team.waiting))
                self._isolate(batch, team, progress)
            team.waiting = [leader for leader in team.waiting if leader not in batch]

    def _identities(self, leader: int) -> list[str]:
        return [self.outcomes.identities[twin] for twin in self.twins[leader]]

    def _isolate(self, leaders: list[int], team: Team, progress: Progress) -> None:
        """Train a batch; if it raises, its halves, down to the run that is to blame."""
        engine, device = team.engine, team.device
        batch = Batch(tuple(self.runs[leader].settings for leader in leaders))
        ids = [self.outcomes.identities[leader] for leader in leaders]
        minutes = batch.first.checkpoint_minutes
        # One that was saved without some observation cannot be gone on from with it.
        observe = batch.first.observe
        key = engine.name if observe == ObserveConfig() else f"{engine.name} {observe}"
        checkpoint = Checkpoint(self.store.paths.checkpoints, ids, key, minutes)
        count = sum(len(self.twins[leader]) for leader in leaders)
        half, trained, reason = len(leaders) // 2, 0.0, ""

        def advance(runs: float) -> None:
            progress.advance(runs)
            self.claims.done += runs

        def on_steps(steps: int) -> None:
            nonlocal trained
            trained += steps * count / batch.steps
            advance(steps * count / batch.steps)

        try:
            outcome = train(batch, engine, device, on_steps, checkpoint, self.stop)
        except StorageError:
            raise
        except Exception as error:
            # Only its text is kept: its traceback holds the memory of the batch.
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            log.debug("Training raised", exc_info=True)
            if short_of_memory(error):
                team.size = min(team.size, max(1, half))
        if reason:
            release(device)
            if not answers(device):
                raise DeviceLost(f"{device} can no longer be used by this process: {reason}")
        if not reason:
            rows = [row for row, one in enumerate(leaders) for _ in self.twins[one]]
            positions = [twin for one in leaders for twin in self.twins[one]]
            self.recorder.completed(positions, rows, outcome, engine.name, device)
        elif not half:
            self.recorder.failed(self.twins[leaders[0]], reason, engine.name, device)
        checkpoint.remove()
        if not (reason and half):
            advance(count - trained)
            return
        advance(-trained)
        for part in (leaders[:half], leaders[half:]):
            self._isolate(part, team, progress)
