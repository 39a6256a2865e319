"""``hydra/sweeper=fused``: the product of all axes, checked as a whole before the first run."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import TaskFunction
from omegaconf import OmegaConf

from dynsweep.config import Run, flatten
from dynsweep.config.intent import meant_all
from dynsweep.config.words import NO_DIRECTORY
from dynsweep.errors import ConfigError, NotSubmitted, SweepFailed
from dynsweep.launchers.compose import Composer
from dynsweep.launchers.fused import FusedLauncher
from dynsweep.launchers.grid import jobs
from dynsweep.launchers.multirun import make_sweep, no_trace_of_refusals, write_multirun
from dynsweep.launchers.private import basic_sweeper
from dynsweep.sweep.progress import told
from dynsweep.sweep.task import Task


class FusedSweeper(Sweeper):
    """Hydra's basic sweeper, with quick checks of all jobs."""

    def __init__(self, max_batch_size: int | None, params: Mapping[str, Any] | None = None):
        plain = OmegaConf.to_container(OmegaConf.create(dict(params or {})))
        self.basic: Any = basic_sweeper.BasicSweeper(max_batch_size, flatten(plain))

    def setup(self, *, task_function: TaskFunction, **others: Any) -> None:
        self.basic.setup(task_function=task_function, **others)
        self.task = task_function

    def sweep(self, arguments: list[str]) -> Any:
        """Check all jobs, launch them, and raise :class:`SweepFailed` if any failed."""
        basic, launcher = self.basic, self.basic.launcher
        if not isinstance(self.task, Task):  # another app's
            return basic.sweep(arguments)
        config, loader = basic.config, basic.hydra_context.config_loader
        if basic.max_batch_size is not None and basic.max_batch_size < 1:
            allowed = "must be at least 1, or null"
            raise ConfigError("hydra.sweeper.max_batch_size", basic.max_batch_size, allowed)
        tasks = jobs(basic.params, arguments, loader)
        size = basic.max_batch_size or len(tasks)
        fused = isinstance(launcher, FusedLauncher)
        composer = launcher.composer if fused else Composer(loader, config)
        numbered = told(enumerate(tasks), len(tasks), "Composing")
        runs = meant_all([composer.run(number, job) for number, job in numbered])
        # Stock launchers cannot be asked; one for Slurm has it in its name.
        here = getattr(launcher, "here", "Slurm" not in type(launcher).__name__)
        self.task.check(runs, here)
        if any(run.settings.dry_run for run in runs):
            print(plan(runs, self.task, launcher, Path(config.hydra.sweep.dir), here))
            return []
        if not config.hydra.sweep.dir:
            raise ConfigError("hydra.sweep.dir", "", NO_DIRECTORY)
        directory = Path(config.hydra.sweep.dir)
        returns: list[Sequence[JobReturn]] = []
        with no_trace_of_refusals(directory):
            make_sweep(directory)
            self.task.starts(directory)  # also where a stock launcher trains in other processes
            write_multirun(config, directory)
            launch = launcher.launch_runs if fused else launcher.launch
            for first in range(0, len(tasks), size):
                part = slice(first, first + size)
                returns.append(launch(runs[part]) if fused else launch(tasks[part], first))
        raise_failures(list(itertools.chain(*returns)))
        return returns


def plan(runs: Sequence[Run], task: Task, launcher: Any, directory: Path, here: bool) -> str:
    """What these runs are and take, for people."""
    from dynsweep.sweep.outcomes import Outcomes
    from dynsweep.sweep.plan import text

    outcomes = Outcomes(runs, directory, unfit=task.unfit)
    if not isinstance(launcher, FusedLauncher):
        how = f"one job each, by {type(launcher).__name__}"
        return text(outcomes, workers=1 if here else 0, how=how)
    todo = [outcomes.runs[place] for place in outcomes.missing()]
    return text(outcomes, launcher.worker_count(todo), launcher.how(todo))


def raise_failures(jobs: Sequence[JobReturn]) -> None:
    """Raise :class:`SweepFailed` if any failed or was not submitted."""
    unfinished = [job for job in jobs if job.status is not JobStatus.COMPLETED]
    waiting = [job for job in unfinished if isinstance(job._return_value, NotSubmitted)]
    failed = [job for job in unfinished if not isinstance(job._return_value, NotSubmitted)]
    words, error = [], None
    if failed:
        error = failed[0]._return_value
        text = " ".join(f"{type(error).__name__}: {error}".split())
        point = " ".join(failed[0].overrides or ["no overrides"])
        words.append(f"{len(failed)} of {len(jobs)} jobs failed; the first ({point}): {text}")
    if waiting:
        reason = waiting[0]._return_value.reason
        words.append(
            f"{len(waiting)} of {len(jobs)} jobs were not submitted: {reason}; "
            "the same command submits them"
        )
    if words:
        raise SweepFailed("; ".join(words)) from (
            error if isinstance(error, BaseException) else None
        )
