"""One launch of a sweep: what is missing is cut into shards, which are submitted and followed."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dynsweep.cluster.balance import balanced, shard_count
from dynsweep.cluster.monitor import GONE, Executor, Monitor
from dynsweep.cluster.shards import (
    Shard,
    Submission,
    new_launch,
    read_submissions,
    write_shards,
    write_submissions,
)
from dynsweep.cluster.slurm import SlurmExecutor, arrays, ask
from dynsweep.cluster.worker import LocalExecutor, worker_count
from dynsweep.config import Run
from dynsweep.config.launchers import SlurmConf, slurm_conf
from dynsweep.errors import ConfigError, RunFailed, SlurmError
from dynsweep.sweep.leftovers import remove_leftovers
from dynsweep.sweep.outcomes import Outcomes
from dynsweep.sweep.runner import run_sweep

log = logging.getLogger(__name__)

STATUS = "How they are: dynsweep-aggregate %s --status"


def run_here(
    runs: Sequence[Run],
    directory: str | Path,
    workers: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Any]:
    """As :func:`dynsweep.sweep.runner.run_sweep`, with several workers on this machine.

    Their number is ``workers``; if that is not given, one for each GPU that the runs may use.
    One trains in this process.
    """
    count = worker_count(runs, workers)
    if count == 1:
        return run_sweep(runs, directory, stop=stop)
    executor = LocalExecutor(stop)
    launch = Launch(Outcomes(runs, directory), executor)
    try:
        if todo := launch.outcomes.missing():
            remove_leftovers(directory)
            tasks = launch.submit(balanced([runs[position] for position in todo], count))
            logs = tasks[0].log.with_name("*.log")
            log.info("%d runs on %d workers; logs: %s", len(todo), len(tasks), logs)
        return launch.follow()
    finally:
        executor.close()


def run_on_slurm(
    runs: Sequence[Run], directory: str | Path, settings: Mapping[str, Any]
) -> list[Any]:
    """As :func:`dynsweep.sweep.runner.run_sweep`, in tasks of Slurm.

    ``settings`` are the launcher's, by name, see :class:`SlurmConf`. Runs that detached tasks are
    still to train have the result ``None``.

    Raises:
        ConfigError: Slurm would not take such tasks; none was submitted.
        SlurmError: Slurm does not answer; none was submitted.
    """
    conf = slurm_conf(settings)
    executor = SlurmExecutor(conf)
    outcomes = Outcomes(runs, directory)
    launch = Launch(outcomes, executor)
    if outcomes.missing():
        launch.join_earlier()
    todo = outcomes.missing()
    held = len(set(outcomes.identities)) - len(todo)
    if held:
        log.info("%d of %d runs are in %s already", held, len(runs), directory)
    fresh = [runs[place] for place in todo if outcomes.identities[place] not in launch.shards]
    if len(fresh) < len(todo):
        joined, count = len(todo) - len(fresh), len(launch.submissions)
        log.info("%d runs are in %d tasks of an earlier launch", joined, count)
    try:
        if fresh:
            executor.check()
            count = shard_count(fresh, conf)
            tasks = launch.submit(balanced(fresh, count, conf.runs_per_task))
            sizes, jobs = [task.runs for task in tasks], arrays(task.job for task in tasks)
            text = "%d runs in %d tasks of up to %d runs; Slurm job %s"
            log.info(text, sum(sizes), len(tasks), max(sizes), ", ".join(jobs))
        if conf.detach:
            log.info(f"Left to themselves. {STATUS}", directory)
            return outcomes.results()
        return launch.follow(conf.stall_minutes)
    except KeyboardInterrupt:
        _interrupted(launch, conf)
        raise


def _interrupted(launch: "Launch", conf: SlurmConf) -> None:
    if not launch.submissions:
        return
    if conf.on_interrupt == "detach":
        log.warning(f"The tasks go on. {STATUS}", launch.outcomes.directory)
        return
    jobs = arrays(task.job for task in launch.submissions)
    try:
        ask("scancel", *jobs)
        log.warning("Asked for the end of Slurm job %s", ", ".join(jobs))
    except SlurmError as error:
        text = "The tasks go on, as they could not be cancelled (%s); to end them: scancel %s"
        log.error(text, error, " ".join(jobs))


class Launch:
    """Workers for the runs that a sweep misses.

    Attributes:
        submissions: the tasks that train them.
        shards: which shard a run is in, by its identity.
        reasons: why runs of a shard may have left no record.
    """

    def __init__(self, outcomes: Outcomes, executor: Executor) -> None:
        self.outcomes, self.executor = outcomes, executor
        self.submissions: list[Submission] = []
        self.shards: dict[str, Path] = {}
        self.reasons: dict[Path, str] = {}

    def join_earlier(self) -> None:
        """Take over the tasks of earlier launches that run, or will.

        Records are read again once Slurm has been asked: what a task finishes in between is in
        the one or in the other.
        """
        listed = [s for s in read_submissions(self.outcomes.directory) if s.scheduler == "slurm"]
        if not listed:
            return
        states = self.executor.states([task.job for task in listed])
        self.outcomes.refresh()
        missing = {self.outcomes.identities[position] for position in self.outcomes.missing()}
        for task in listed:
            if states.get(task.job, GONE).alive:
                runs = Shard.read(task.shard).identities() & missing
                if runs:
                    self.submissions.append(task)
                    self.shards |= dict.fromkeys(runs, task.shard)

    def submit(self, parts: Sequence[Sequence[Run]]) -> list[Submission]:
        """Submit a shard for each part; raise :class:`ConfigError` if none could be."""
        folder = new_launch(self.outcomes.directory)
        shards = write_shards(folder, parts)
        for shard in shards:
            self.shards |= dict.fromkeys(shard.identities(), shard.path)
        submitted: list[Submission] = []
        try:
            for some in self.executor.submit(shards):
                submitted += some
                self.submissions += some
                write_submissions(folder, submitted)
        except SlurmError as error:
            if not submitted:
                text = f"nothing was submitted: {error}"
                raise ConfigError("hydra/launcher", "fused_slurm", text) from None
            log.error("%d of %d tasks submitted: %s", len(submitted), len(shards), error)
            left = {shard.path for shard in shards} - {task.shard for task in submitted}
            self.reasons |= dict.fromkeys(left, f"its task was not submitted: {error}")
        return submitted

    def follow(self, stall_minutes: float = float("inf")) -> list[Any]:
        """What became of each run of the grid, :class:`RunFailed` where it left no record; returns
        when all tasks have ended."""
        if self.submissions:
            monitor = Monitor(self.submissions, self.executor, stall_minutes)
            monitor.run()
            self.reasons |= monitor.reasons
            self.outcomes.refresh()
        results = self.outcomes.results()
        for position, identity in enumerate(self.outcomes.identities):
            if results[position] is None:
                reason = self.reasons.get(self.shards[identity], "left no record")
                results[position] = RunFailed(reason)
        return results
