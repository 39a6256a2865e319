"""One launch of a sweep: what is missing is cut into shards, which are submitted and followed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynsweep.cluster.balance import balanced, shard_count
from dynsweep.cluster.monitor import Executor, Monitor
from dynsweep.cluster.shards import (
    Shard,
    Submission,
    new_launch,
    read_submissions,
    write_shards,
    write_submissions,
)
from dynsweep.cluster.slurm import SlurmError, arrays
from dynsweep.config import Run
from dynsweep.config.launchers import SlurmConf, slurm_conf
from dynsweep.errors import ConfigError, RunFailed
from dynsweep.sweep.outcomes import Outcomes

log = logging.getLogger(__name__)

STATUS = "How they are: dynsweep-aggregate %s --status"


def run_on_slurm(
    runs: Sequence[Run], directory: str | Path, settings: Mapping[str, Any]
) -> list[Any]:
    """As :func:`dynsweep.sweep.runner.run_sweep`, in tasks of Slurm.

    Args:
        runs: a grid, checked.
        directory: of the sweep; all tasks write there.
        settings: of the launcher, by name, see :class:`SlurmConf`.

    Returns:
        In the order of ``runs``: objective or ``RunFailed``; ``None`` for runs that detached
        tasks are still to train.

    Raises:
        ConfigError: Slurm would not take such tasks; none was submitted.
        SlurmError: Slurm does not answer; none was submitted.
    """
    conf = slurm_conf(settings)
    try:
        from dynsweep.cluster.submit import SlurmExecutor
    except ImportError:
        allowed = "needs submitit: pip install 'dynsweep[slurm]'"
        raise ConfigError("hydra/launcher", "fused_slurm", allowed) from None
    executor = SlurmExecutor(conf)
    launch = Launch(Outcomes(runs, directory), executor)
    if launch.outcomes.missing():
        launch.join_earlier()
    todo = launch.outcomes.missing()
    held = len(set(launch.outcomes.identities)) - len(todo)
    if held:
        log.info("%d of %d runs are in %s already", held, len(runs), directory)
    fresh = [p for p in todo if launch.outcomes.identities[p] not in launch.shards]
    if len(fresh) < len(todo):
        joined, count = len(todo) - len(fresh), len(launch.submissions)
        log.info("%d runs are in %d tasks of an earlier launch", joined, count)
    try:
        if fresh:
            executor.check()
            count = shard_count([runs[position] for position in fresh], conf)
            parts = balanced(runs, fresh, count, conf.runs_per_task)
            tasks = launch.submit(parts)
            sizes, jobs = [one.runs for one in tasks], ", ".join(arrays(one.job for one in tasks))
            text = "%d runs in %d tasks of up to %d runs; Slurm job %s"
            log.info(text, sum(sizes), len(tasks), max(sizes), jobs)
        if conf.detach:
            log.info(f"Left to themselves. {STATUS}", directory)
            return launch.outcomes.results()
        launch.follow(conf.stall_minutes)
    except KeyboardInterrupt:
        _interrupted(launch, conf)
        raise
    return launch.results()


def _interrupted(launch: Launch, conf: SlurmConf) -> None:
    if not launch.submissions:
        return
    if conf.on_interrupt == "detach":
        log.warning(f"The tasks go on. {STATUS}", launch.outcomes.directory)
        return
    jobs = arrays(one.job for one in launch.submissions)
    try:
        launch.executor.cancel(launch.submissions)
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
        states = self.executor.states(listed)
        self.outcomes.refresh()
        missing = {self.outcomes.identities[position] for position in self.outcomes.missing()}
        for one in listed:
            if one.job in states and states[one.job].alive:
                runs = {run.settings.identity() for run in Shard.read(one.shard).runs} & missing
                if runs:
                    self.submissions.append(one)
                    self.shards |= dict.fromkeys(runs, one.shard)

    def submit(self, parts: Sequence[Sequence[int]]) -> list[Submission]:
        """Submit runs, given by their positions in the grid, as a shard for each part.

        Raises:
            ConfigError: nothing could be submitted.
        """
        runs, identities = self.outcomes.runs, self.outcomes.identities
        folder = new_launch(self.outcomes.directory)
        shards = write_shards(folder, [[runs[position] for position in part] for part in parts])
        for shard, part in zip(shards, parts, strict=True):
            self.shards |= {identities[position]: shard.path for position in part}
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
            left = {shard.path for shard in shards} - {one.shard for one in submitted}
            self.reasons |= dict.fromkeys(left, f"its task was not submitted: {error}")
        return submitted

    def follow(self, stall_minutes: float = float("inf")) -> None:
        """Return when all tasks have ended."""
        monitor = Monitor(self.submissions, self.executor, stall_minutes)
        monitor.run()
        self.reasons |= monitor.reasons
        self.outcomes.refresh()

    def results(self) -> list[Any]:
        """What became of each run of the grid, :class:`RunFailed` where it left no record."""
        results = self.outcomes.results()
        for position, identity in enumerate(self.outcomes.identities):
            if results[position] is None:
                reason = self.reasons.get(self.shards[identity], "left no record")
                results[position] = RunFailed(reason)
        return results
