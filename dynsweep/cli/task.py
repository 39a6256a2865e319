"""What Hydra runs: one config with any launcher, or all jobs of a multirun with the fused one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from dynsweep.config import run_config
from dynsweep.errors import ConfigError
from dynsweep.launchers.jobs import Job


class Stop(SystemExit):
    """The end of a single run for a reason that one line tells.

    Hydra prints several lines about exceptions of a job; this one passes through it.
    """

    def __init__(self, status: int, reason: Exception) -> None:
        super().__init__(status)
        self.reason = reason


class Task:
    """The task function of the ``dynsweep`` app; a :class:`SpreadableTask`.

    PyTorch is imported only when runs are checked or trained.

    Attributes:
        directories: where this process recorded runs, or had others record them.
        multirun: whether they are sweep directories.
        report: whether their page is wanted.
    """

    def __init__(self) -> None:
        self.directories: list[Path] = []
        self.multirun = False
        self.report = False

    def __call__(self, cfg: DictConfig) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        hydra = HydraConfig.get()
        multirun = hydra.mode == RunMode.MULTIRUN
        # All jobs of a multirun share one store, whichever launcher runs them.
        directory = hydra.sweep.dir if multirun else hydra.runtime.output_dir
        config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
        number = hydra.job.num if multirun else 0
        job = Job(number, list(hydra.overrides.task), config)
        try:
            run_config(config)
            self._note(directory, multirun)
            result = sweep_module().run_jobs([job], directory)[0]
        except ConfigError as error:
            if multirun:
                raise
            raise Stop(2, error) from None
        if isinstance(result, Exception):
            if multirun:
                raise result
            raise Stop(1, result)
        return result

    def check_jobs(self, jobs: Sequence[Job], sweep: DictConfig, here: bool = True) -> None:
        for job in jobs:
            run_config(job.config)  # so that what is out of range is told at once
        sweep_module().check(jobs, here)
        self._note(sweep.hydra.sweep.dir, multirun=True)
        self.report = any(job.config["report"] for job in jobs)

    def run_jobs(self, jobs: Sequence[Job], sweep: DictConfig) -> list[Any]:
        from dynsweep.cluster.workers import run_together

        self._note(sweep.hydra.sweep.dir, multirun=True)
        workers = OmegaConf.select(sweep, "hydra.launcher.workers")
        return run_together(jobs, sweep.hydra.sweep.dir, workers)

    def spread_jobs(
        self, jobs: Sequence[Job], sweep: DictConfig, kind: str, settings: Mapping[str, Any]
    ) -> list[Any]:
        from dynsweep.cluster.launch import run_on

        self._note(sweep.hydra.sweep.dir, multirun=True)
        return run_on(kind, jobs, sweep.hydra.sweep.dir, settings)

    def _note(self, directory: str, multirun: bool) -> None:
        self.multirun = multirun
        path = Path(directory)
        if path not in self.directories:
            self.directories.append(path)


def sweep_module() -> ModuleType:
    """``dynsweep.sweep.runner``, imported when it is needed: PyTorch comes with it."""
    from dynsweep.sweep import runner

    return runner
