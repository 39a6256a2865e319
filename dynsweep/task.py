"""What Hydra runs: one config with any launcher, or all jobs of a multirun with the fused one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dynsweep.launchers.jobs import Job


class Task:
    """The task function of the ``dynsweep`` app; a :class:`FusibleTask`.

    PyTorch is imported only when runs are checked or trained.

    Attributes:
        directories: where this process recorded runs, or had others record them.
        multirun: whether they are sweep directories.
    """

    def __init__(self) -> None:
        self.directories: list[Path] = []
        self.multirun = False

    def __call__(self, cfg: DictConfig) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from dynsweep import sweep

        hydra = HydraConfig.get()
        multirun = hydra.mode == RunMode.MULTIRUN
        # All jobs of a multirun share one store, whichever launcher runs them.
        directory = hydra.sweep.dir if multirun else hydra.runtime.output_dir
        config = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(config, dict)
        number = hydra.job.num if multirun else 0
        job = Job(number, list(hydra.overrides.task), config)  # type: ignore[arg-type]
        self._note(directory, multirun)
        result = sweep.run_jobs([job], directory)[0]
        if isinstance(result, Exception):
            raise result
        return result

    def check_jobs(self, jobs: Sequence[Job], sweep: DictConfig) -> None:
        from dynsweep import sweep as runs

        runs.check(jobs)
        self._note(sweep.hydra.sweep.dir, multirun=True)

    def run_jobs(self, jobs: Sequence[Job], sweep: DictConfig) -> list[Any]:
        from dynsweep import sweep as runs

        self._note(sweep.hydra.sweep.dir, multirun=True)
        return runs.run_jobs(jobs, sweep.hydra.sweep.dir)

    def _note(self, directory: str, multirun: bool) -> None:
        self.multirun = multirun
        path = Path(directory)
        if path not in self.directories:
            self.directories.append(path)
