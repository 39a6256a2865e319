"""How the fused launcher runs jobs: all of them at once, or one by one as Hydra does."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.deprecation_warning import deprecation_warning
from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    _flush_loggers,
    configure_log,
    env_override,
    filter_overrides,
    setup_globals,
)
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from dynsweep.launchers.compose import Composer
from dynsweep.launchers.jobs import FusibleTask, Job
from dynsweep.launchers.logs import JobLogs
from dynsweep.launchers.returns import LazyReturn
from dynsweep.launchers.shapes import Composed
from dynsweep.launchers.singleton import hydra_config
from dynsweep.launchers.tree import TreeWriter

log = logging.getLogger(__name__)

Together = Callable[[Sequence[Job], DictConfig], list[Any]]

_CHDIR = (
    "Future Hydra versions will no longer change working directory at job runtime by default.\n"
    "See https://hydra.cc/docs/1.2/upgrades/1.1_to_1.2/changes_to_job_working_dir/"
    " for more information."
)
_LISTED = 20  # jobs of a launch that are listed one by one


class Launch:
    """The fused launcher's work; it lives as long as the launcher and keeps what it composed.

    Args:
        context: Hydra's config loader and callbacks.
        task: the task function; all jobs are handed over together if it is a ``FusibleTask``.
        config: the multirun's config.
        job_dirs: whether a ``FusibleTask``'s jobs get directories as from Hydra's own launcher.
        together: runs all jobs of a ``FusibleTask``; its ``run_jobs`` if not given.
    """

    def __init__(
        self,
        context: HydraContext,
        task: TaskFunction,
        config: DictConfig,
        job_dirs: bool,
        together: Together | None = None,
    ) -> None:
        self.task = task
        self.config = config
        self.job_dirs = job_dirs
        self.composer = Composer(context.config_loader, config)  # type: ignore[arg-type]
        self.together = together
        self._callbacks: Callbacks | None = None
        if context.callbacks.callbacks:
            self._callbacks = context.callbacks
        self._tree = TreeWriter()

    def run(self, job_overrides: Sequence[Sequence[str]], first_number: int) -> list[JobReturn]:
        """Run the jobs; their numbers count up from ``first_number``."""
        setup_globals()
        self._configure_log()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        where = "" if self.together else " locally"
        log.info(f"Launching {len(job_overrides)} jobs{where}")
        jobs = []
        for number, overrides in enumerate(job_overrides, first_number):
            if len(job_overrides) <= _LISTED:
                log.info(f"\t#{number} : {' '.join(filter_overrides(overrides))}")
            jobs.append(self.composer.compose(overrides, number))
        fused = isinstance(self.task, FusibleTask)
        return self._run_together(jobs) if fused else self._run_one_by_one(jobs)

    def _configure_log(self) -> None:
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)

    def _run_together(self, jobs: list[Composed]) -> list[JobReturn]:
        assert isinstance(self.task, FusibleTask)
        handed = [Job(job.number, job.overrides, job.settings()) for job in jobs]
        name = JobRuntime.instance().get("name")
        returns = [LazyReturn(job, working_dir=os.getcwd(), task_name=name) for job in jobs]
        if self.job_dirs:
            for job in jobs:
                self._tree.write(job)
                for file in job.shape.log_files(job) or []:
                    with open(file, "a"):
                        pass
        configs = [job.config() for job in jobs] if self._callbacks else []
        for config in configs:
            self._notify(config)
        run = self.together or self.task.run_jobs
        results = run(handed, self.config)
        if len(results) != len(jobs):
            raise RuntimeError(f"run_jobs returned {len(results)} results for {len(jobs)} jobs")
        for done, result in zip(returns, results, strict=True):
            done.finish(result, result if isinstance(result, Exception) else None)
        for config, done in zip(configs, returns, strict=bool(configs)):
            self._notify(config, done)
        return list(returns)

    def _notify(self, config: DictConfig, done: JobReturn | None = None) -> None:
        """Tell callbacks of one of many jobs, with Hydra's singleton set to it as in a job."""
        assert self._callbacks is not None
        with hydra_config(lambda: config):
            if done is None:
                self._callbacks.on_job_start(config=config, task_function=self.task)
            else:
                self._callbacks.on_job_end(config=config, job_return=done)

    def _run_one_by_one(self, jobs: list[Composed]) -> list[JobReturn]:
        cwd = os.getcwd()
        logs = JobLogs()
        returns: list[JobReturn] = []
        try:
            for job in jobs:
                try:
                    returns.append(self._run_job(job, logs))
                finally:
                    os.chdir(cwd)
        finally:
            self._configure_log()
        return returns

    def _changes_directory(self, job: Composed) -> bool:
        chdir = job.shape.hydra_setting(job, ("hydra", "job", "chdir"))
        if chdir is None:
            if not version.base_at_least("1.2"):
                deprecation_warning(_CHDIR, stacklevel=2)
                return True
            return False
        return bool(chdir)

    def _run_job(self, job: Composed, logs: JobLogs) -> JobReturn:
        """What ``hydra.core.utils.run_job`` does, in its order."""
        directory = self._tree.write(job)
        task_config = job.task_config()
        done = LazyReturn(job, task_name=None)
        done.cfg = task_config
        if self._changes_directory(job):
            os.chdir(directory)
            done.working_dir = directory
        else:
            done.working_dir = os.getcwd()
        logs.start(job)
        # Without callbacks only a task that looks at HydraConfig needs the whole config.
        config = job.config() if self._callbacks else None
        with hydra_config(lambda: config or job.config()):
            with env_override(job.shape.hydra_setting(job, ("hydra", "job", "env_set"))):
                if self._callbacks and config:
                    self._callbacks.on_job_start(config=config, task_function=self.task)
                value: Any = None
                try:
                    value = self.task(task_config)
                except Exception as error:
                    done.finish(None, error)
                else:
                    done.finish(value)
            done.task_name = JobRuntime.instance().get("name")
            _flush_loggers()
            if self._callbacks and config:
                self._callbacks.on_job_end(config=config, job_return=done)
        return done
