"""A launch on Slurm: what is missing is submitted, what earlier launches submitted is joined."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dynsweep.cluster.balance import balanced, shard_count
from dynsweep.cluster.commands import ask
from dynsweep.cluster.launch import Launch
from dynsweep.cluster.monitor import SUBMIT_PAUSE
from dynsweep.cluster.shards import Submission, arrays
from dynsweep.cluster.slurm import SlurmExecutor
from dynsweep.config import Run
from dynsweep.config.launchers import SlurmConf, slurm_conf
from dynsweep.errors import SlurmError
from dynsweep.sweep.leftovers import remove_leftovers
from dynsweep.sweep.outcomes import Outcomes
from dynsweep.sweep.recording import record_unfit
from dynsweep.sweep.teams import Unfit

log = logging.getLogger(__name__)

STATUS = "How they are: dynsweep-status %s"


def run_on_slurm(
    runs: Sequence[Run],
    directory: str | Path,
    settings: Mapping[str, Any],
    unfit: Unfit | None = None,
) -> list[Any]:
    """As :func:`dynsweep.sweep.runner.run_sweep`, in tasks of Slurm.

    ``settings`` are the launcher's, by name, see :class:`SlurmConf`. Runs that detached tasks are
    still to train have the result ``None``; those that are ``unfit`` are recorded as failed.

    Raises:
        ConfigError: Slurm would not take such tasks; none was submitted.
        SlurmError: Slurm does not answer; none was submitted.
    """
    conf = slurm_conf(settings)
    executor = SlurmExecutor(conf)
    outcomes = Outcomes(runs, directory, unfit=unfit)
    launch = Launch(outcomes, executor)
    try:
        if outcomes.missing():
            launch.join_earlier(settled=conf.detach)
        todo = outcomes.missing()
        outcomes.tell(todo)
        identities = outcomes.identities
        fresh = [outcomes.runs[k] for k in todo if identities[k] not in launch.shards]
        if joined := len(todo) - len(fresh):
            count = len(launch.submissions)
            log.info("%d runs are in %d tasks of an earlier launch", joined, count)
        coming = _submitted(launch, executor, conf, fresh)
        record_unfit(outcomes)
        if conf.detach:
            for tasks in coming:
                time.sleep(0 if tasks else SUBMIT_PAUSE)
            log.info(f"Left to themselves. {STATUS}", directory)
            return launch.results(detached=True)
        results = launch.follow(conf.stall_minutes, coming, len(fresh))
        if left := launch.left_by_earlier():
            text = "%d runs, left by tasks of an earlier launch that died, are submitted anew"
            log.info(text, len(left))
            coming = _submitted(launch, executor, conf, left)
            results = launch.follow(conf.stall_minutes, coming, len(left))
        return results
    except KeyboardInterrupt:
        _interrupted(launch, executor, conf)
        raise


def _submitted(
    launch: Launch, executor: SlurmExecutor, conf: SlurmConf, runs: Sequence[Run]
) -> Iterator[list[Submission]]:
    """Check these runs' tasks, then submit them as they are asked for; say so at the end."""
    if not runs:
        return iter(())
    executor.check()
    remove_leftovers(launch.outcomes.directory)

    def submit() -> Iterator[list[Submission]]:
        tasks: list[Submission] = []
        parts = balanced(runs, shard_count(runs, conf), conf.runs_per_task)
        for some in launch.submitting(parts):
            tasks += some
            yield some
        if tasks:
            sizes, jobs = [task.runs for task in tasks], arrays(task.job for task in tasks)
            text = "%d runs in %d tasks of up to %d runs; Slurm job %s"
            log.info(text, sum(sizes), len(tasks), max(sizes), ", ".join(jobs))

    return submit()


def _interrupted(launch: Launch, executor: SlurmExecutor, conf: SlurmConf) -> None:
    with suppress(KeyboardInterrupt):  # once more: what is known must do
        launch.note(executor.settle())
    if not launch.submissions:
        return
    if conf.on_interrupt == "detach":
        log.warning(f"The tasks go on. {STATUS}", launch.outcomes.directory)
        return
    jobs = arrays(task.job for task in launch.submissions)
    try:
        ask("scancel", *jobs)
        log.warning("Asked for the end of Slurm job %s", ", ".join(jobs))
    except (SlurmError, KeyboardInterrupt) as error:
        reason = error if isinstance(error, SlurmError) else "interrupted again"
        text = "The tasks go on, as they could not be cancelled (%s); to end them: scancel %s"
        log.error(text, reason, " ".join(jobs))
