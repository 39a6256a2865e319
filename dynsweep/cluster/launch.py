"""One launch of a sweep: shards are submitted, and followed; on this machine, to begin with."""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dynsweep.cluster.balance import balanced
from dynsweep.cluster.monitor import GONE, Executor, Monitor, TaskState
from dynsweep.cluster.shards import (
    Shard,
    Submission,
    new_launch,
    read_submissions,
    write_shards,
    write_submissions,
)
from dynsweep.cluster.worker import LocalExecutor, worker_count
from dynsweep.config import Run
from dynsweep.errors import ConfigError, NotSubmitted, RunFailed, SlurmError
from dynsweep.store import Damaged
from dynsweep.store.damage import left_out
from dynsweep.sweep.leftovers import remove_leftovers
from dynsweep.sweep.outcomes import Outcomes
from dynsweep.sweep.plan import parts, say_estimate
from dynsweep.sweep.recording import record_unfit
from dynsweep.sweep.runner import run_sweep
from dynsweep.sweep.teams import Unfit, check

log = logging.getLogger(__name__)

ENDING_SECONDS = 60.0  # that the end of a task may take


def run_here(
    runs: Sequence[Run],
    directory: str | Path,
    workers: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    unfit: Unfit | None = None,
) -> list[Any]:
    """As :func:`dynsweep.sweep.runner.run_sweep`, with several workers on this machine.

    Their number is ``workers``; if that is not given, one for each GPU that the runs may use.
    One trains in this process.
    """
    remove_leftovers(directory)
    count = worker_count(runs, workers)
    if count == 1:
        return run_sweep(runs, directory, stop=stop, unfit=unfit, estimated=True)
    executor = LocalExecutor(stop)
    outcomes = Outcomes(runs, directory, unfit=check(runs) if unfit is None else unfit)
    record_unfit(outcomes)
    launch = Launch(outcomes, executor)
    try:
        if todo := outcomes.missing():
            say_estimate(parts(outcomes), count)
            tasks = launch.submit(balanced([outcomes.runs[place] for place in todo], count))
            logs = tasks[0].log.with_name("*.log")
            log.info("%d runs on %d workers; logs: %s", len(todo), len(tasks), logs)
        return launch.follow()
    finally:
        executor.close()


class Launch:
    """Workers for the runs that a sweep misses.

    Attributes:
        submissions: the tasks that train them, and have not been seen to end.
        shards: which shard a run is in, by its identity.
        reasons: why runs of a shard may have left no record.
        unsent: why a shard was not submitted.
    """

    def __init__(self, outcomes: Outcomes, executor: Executor) -> None:
        self.outcomes, self.executor = outcomes, executor
        self.submissions: list[Submission] = []
        self.shards: dict[str, Path] = {}
        self.reasons: dict[Path, str] = {}
        self.unsent: dict[Path, str] = {}
        self._earlier: set[Path] = set()  # shards of the tasks of earlier launches
        self._folder = Path()  # of the shards that are being submitted, and their tasks so far
        self._tasks: list[Submission] = []

    def join_earlier(self, settled: bool = False) -> None:
        """Take over the tasks of earlier launches that run, or will.

        Records are read again once Slurm has been asked: what a task finishes in between is in
        the one or in the other. A task that is ending may record its last runs, and leaves the
        others, which :meth:`left_by_earlier` tells once tasks were followed; who follows none has
        them ``settled`` first.
        """
        listed = [s for s in read_submissions(self.outcomes.directory) if s.scheduler == "slurm"]
        if not listed:
            return
        ask = self._settled if settled else self.executor.states
        states = ask([task.job for task in listed])
        self.outcomes.refresh()
        missing = {self.outcomes.identities[position] for position in self.outcomes.missing()}
        for task in listed:
            if not states.get(task.job, GONE).alive:
                continue
            try:
                runs = Shard.read(task.shard).identities() & missing
            except Damaged as damaged:
                left_out(damaged, f"task {task.job}, which trains its runs, is not waited for")
                continue
            if runs:
                self.submissions.append(task)
                self.shards |= dict.fromkeys(runs, task.shard)
        self._earlier = {task.shard for task in self.submissions}

    def _settled(self, jobs: list[str]) -> dict[str, TaskState]:
        """How tasks are, when none of them is ending any more, if that does not take too long."""
        patience, told = time.monotonic() + ENDING_SECONDS, False
        while True:
            states = self.executor.states(jobs)
            ending = [job for job in jobs if states.get(job, GONE).text == "completing"]
            if not ending or time.monotonic() > patience:
                return states
            if not told:
                told = True
                log.info("Waiting for the end of %d tasks of an earlier launch", len(ending))
            time.sleep(1)

    def submit(self, parts: Sequence[Sequence[Run]]) -> list[Submission]:
        """Submit a shard for each part; raise :class:`ConfigError` if none could be."""
        return [task for tasks in self.submitting(parts) for task in tasks]

    def submitting(self, parts: Sequence[Sequence[Run]]) -> Iterator[list[Submission]]:
        """As ``submit``: tasks as they come, and nothing while that takes time."""
        self._folder, self._tasks = new_launch(self.outcomes.directory), []
        shards = write_shards(self._folder, parts)
        for shard in shards:
            self.shards |= dict.fromkeys(shard.identities(), shard.path)
        try:
            for tasks in self.executor.submit(shards):
                self.note(tasks)
                yield tasks
        except SlurmError as error:
            left = [shard for shard in shards if shard.path not in {t.shard for t in self._tasks}]
            self.unsent |= dict.fromkeys((shard.path for shard in left), str(error))
            if not self._tasks:
                shutil.rmtree(self._folder, ignore_errors=True)
                with suppress(OSError):
                    self._folder.parent.rmdir()
                if not self.submissions:
                    text = f"nothing was submitted: {error}"
                    raise ConfigError("hydra/launcher", "fused_slurm", text) from None
            runs = sum(len(shard.runs) for shard in left)
            text = "%d of %d tasks submitted; %d runs were not: %s"
            log.error(text, len(self._tasks), len(shards), runs, error)

    def note(self, tasks: Sequence[Submission]) -> None:
        """Tasks were submitted."""
        if new := [task for task in tasks if task not in self._tasks]:
            self._tasks += new
            self.submissions += new
            write_submissions(self._folder, self._tasks)

    def follow(
        self,
        stall_minutes: float = float("inf"),
        coming: Iterable[list[Submission]] = (),
        runs: int = 0,
    ) -> list[Any]:
        """What became of each run of the grid, :class:`RunFailed` where it left no record; returns
        when all tasks have ended, those that are ``coming`` with so many ``runs`` too."""
        monitor = Monitor(self.submissions, self.executor, stall_minutes)
        monitor.run(coming=coming, runs=runs)
        if monitor.followed:
            self.submissions = []
            self.reasons |= monitor.reasons
            self.outcomes.refresh()
        return self.results()

    def results(self, detached: bool = False) -> list[Any]:
        """Of each run of the grid; ``None`` where a ``detached`` task is to train it."""
        results = self.outcomes.results()
        for position, identity in enumerate(self.outcomes.identities):
            if results[position] is None:
                shard = self.shards[identity]
                if shard in self.unsent:
                    results[position] = NotSubmitted(self.unsent[shard])
                elif not detached:
                    results[position] = RunFailed(self.reasons.get(shard, "left no record"))
        return results

    def left_by_earlier(self) -> list[Run]:
        """Runs without a record that were in tasks of earlier launches; equal ones once."""
        results = self.outcomes.results()
        left: dict[str, Run] = {}
        for run, identity, result in zip(
            self.outcomes.runs, self.outcomes.identities, results, strict=True
        ):
            if result is None and self.shards[identity] in self._earlier:
                left.setdefault(identity, run)
        return list(left.values())
