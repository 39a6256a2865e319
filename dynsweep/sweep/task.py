"""What Hydra runs: one config with any launcher; the fused ones ask it for the sweep's doings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dynsweep.config import Run, typed
from dynsweep.errors import DynsweepError, RunFailed


class Stop(SystemExit):
    """The end of a single run for a reason that one line tells.

    Hydra prints several lines about exceptions of a job; this one passes through it.
    """

    def __init__(self, status: int, reason: Exception) -> None:
        super().__init__(status)
        self.reason = reason


class Task:
    """The task function of the ``dynsweep`` app.

    PyTorch is imported only when runs are checked or trained.

    Attributes:
        directories: where this process recorded runs, or had others record them.
        multirun: whether they are sweep directories.
        report: whether their page is wanted.
        detached: whether tasks of a cluster that nobody waits for have runs to train.
    """

    def __init__(self) -> None:
        self.directories: list[Path] = []
        self.multirun = False
        self.report = False
        self.detached = False

    def __call__(self, cfg: DictConfig) -> Any:
        from dynsweep.sweep.runner import run_sweep

        hydra = HydraConfig.get()
        multirun = hydra.mode == RunMode.MULTIRUN
        # All jobs of a multirun share one store, whichever launcher runs them.
        directory = Path(hydra.sweep.dir if multirun else hydra.runtime.output_dir)
        number = hydra.job.num if multirun else 0
        try:
            run = Run(number, list(hydra.overrides.task), typed(cfg))
            run.settings.check()
            self.starts(directory, multirun)
            (result,) = run_sweep([run], directory)
            if isinstance(result, Exception):
                raise result
            return result
        except DynsweepError as error:
            if multirun:
                raise
            raise Stop(1 if isinstance(error, RunFailed) else 2, error) from None

    def check(self, runs: Sequence[Run], here: bool) -> None:
        """See :func:`dynsweep.sweep.teams.check`; ``runs`` are the whole grid."""
        from dynsweep.sweep.teams import check

        check(runs, here)
        self.report = any(run.settings.report for run in runs)

    def starts(self, directory: Path, multirun: bool = True) -> None:
        """Note where runs will be recorded from now on."""
        self.multirun = multirun
        if directory not in self.directories:
            self.directories.append(directory)
