"""``hydra/launcher=fused`` and ``fused_slurm``: all runs of a multirun together."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from omegaconf import DictConfig, OmegaConf

from dynsweep.config import Run
from dynsweep.config.intent import meant_all
from dynsweep.config.launchers import slurm_conf
from dynsweep.errors import ConfigError
from dynsweep.launchers.compose import Composer, hydra_config, without_hydra
from dynsweep.launchers.multirun import make_sweep, no_trace_of_refusals, write_multirun
from dynsweep.launchers.private import BasicLauncher
from dynsweep.sweep.task import Task

log = logging.getLogger(__name__)

LISTED = 20  # runs that are listed one by one


class FusedLauncher(BasicLauncher):
    """Trains runs together, on this machine; the jobs of another app it runs as Hydra does."""

    here = True  # whether runs are trained on a machine like this one
    config: Any
    hydra_context: Any
    task_function: Any

    def __init__(self, workers: int | None = None) -> None:
        super().__init__()
        self.workers = workers

    def setup(self, **given: Any) -> None:
        super().setup(**given)
        # The package of a sweeper, which was imported just now, may log in a way of its own.
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        self.composer = Composer(self.hydra_context.config_loader, self.config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        if not isinstance(self.task_function, Task):
            return super().launch(job_overrides, initial_job_idx)
        # From a sweeper that is not ours, such as Optuna's: a batch of what it tries.
        task, directory = self.task_function, Path(self.config.hydra.sweep.dir)
        numbered = enumerate(job_overrides, initial_job_idx)
        runs = meant_all([self.composer.run(*job) for job in numbered])
        before = task.runs
        with no_trace_of_refusals(directory):
            task.check(runs, self.here)
            task.runs = [*before, *runs]
            make_sweep(directory)
            write_multirun(self.config, directory)
            returns = self.launch_runs(runs)
        task.failed += [one._return_value for one in returns if one.status is JobStatus.FAILED]
        return returns

    def launch_runs(self, runs: Sequence[Run]) -> Sequence[JobReturn]:
        """As ``launch``, for runs that this launcher's composer made."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        directory = Path(self.config.hydra.sweep.dir)
        make_sweep(directory)
        log.info("Launching %d jobs%s", len(runs), " locally" if self.here else "")
        for run in runs if len(runs) <= LISTED else ():
            log.info("\t#%d : %s", run.number, " ".join(run.overrides))
        task, callbacks = self.task_function, self.hydra_context.callbacks
        task.starts(directory)
        for _, config in self._heard(runs):
            callbacks.on_job_start(config=config, task_function=task)
        returns = []
        for run, result in zip(runs, self.train(runs, directory), strict=True):
            failed = isinstance(result, Exception)
            status = JobStatus.FAILED if failed else JobStatus.COMPLETED
            returns.append(JobReturn(run.overrides, status=status, _return_value=result))
        for place, config in self._heard(runs):
            returns[place].cfg = without_hydra(config)
            callbacks.on_job_end(config=config, job_return=returns[place])
        return returns

    def _heard(self, runs: Sequence[Run]) -> Iterator[tuple[int, DictConfig]]:
        """For callbacks, if any: each run's config, while it is that of ``HydraConfig``."""
        for place, run in enumerate(runs if self.hydra_context.callbacks.callbacks else ()):
            with hydra_config(self.composer.config(run)) as config:
                yield place, config

    def worker_count(self, runs: Sequence[Run]) -> int:
        """How many workers of this machine train these runs; 0 where others do."""
        from dynsweep.cluster.worker import worker_count

        return worker_count(runs, self.workers)

    def how(self, runs: Sequence[Run]) -> str:
        """For people, how many tasks of other machines train these runs."""
        return ""

    def train(self, runs: Sequence[Run], directory: Path) -> list[Any]:
        """Objective or error of each run."""
        from dynsweep.cluster.launch import run_here

        signals = self.task_function.signals
        with signals.patiently():
            return run_here(runs, directory, self.workers, signals.stop, self.unfit(runs))

    def unfit(self, runs: Sequence[Run]) -> dict[int, ConfigError]:
        """Why some of these runs cannot be trained, by their position."""
        known = self.task_function.unfit
        return {place: known[run.number] for place, run in enumerate(runs) if run.number in known}


class FusedSlurmLauncher(FusedLauncher):
    """Trains runs in few tasks of a Slurm cluster; see :mod:`dynsweep.cluster`."""

    here = False

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings: Any = OmegaConf.to_container(OmegaConf.create(settings))

    def setup(self, **given: Any) -> None:
        if not isinstance(given["task_function"], Task):
            allowed = "shares the runs of dynsweep; for another app take submitit_slurm"
            raise ConfigError("hydra/launcher", "fused_slurm", allowed)
        self.conf = slurm_conf(self.settings)  # what is wrong here is told before anything is made
        super().setup(**given)

    def worker_count(self, runs: Sequence[Run]) -> int:
        return 0

    def how(self, runs: Sequence[Run]) -> str:
        from dynsweep.cluster.balance import shard_count

        count = shard_count(runs, self.conf)
        return f"in {count:,} task{'s' * (count != 1)} of Slurm"

    def train(self, runs: Sequence[Run], directory: Path) -> list[Any]:
        from dynsweep.cluster.slurm_launch import run_on_slurm

        with self.task_function.signals.raising():
            results = run_on_slurm(runs, directory, self.settings, self.unfit(runs))
        self.task_function.detached = None in results
        return results
