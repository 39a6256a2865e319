"""``hydra/sweeper=adaptive``: seeds and cells where they are needed, in rounds.

It trains nothing itself: every round is handed to the launcher like a grid.
"""

import itertools
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from dynsweep.config import Run
from dynsweep.config.intent import meant, meant_all
from dynsweep.config.launchers import AdaptiveSweeperConf
from dynsweep.config.words import NO_DIRECTORY
from dynsweep.errors import ConfigError, StorageError
from dynsweep.launchers.compose import Composer
from dynsweep.launchers.fused import FusedLauncher
from dynsweep.launchers.grid import jobs
from dynsweep.launchers.multirun import make_sweep, no_trace_of_refusals, write_multirun
from dynsweep.launchers.sweeper import FusedSweeper, plan, raise_failures
from dynsweep.settings import check
from dynsweep.store import latest
from dynsweep.sweep.progress import told
from dynsweep.sweep.task import Task

if TYPE_CHECKING:  # NumPy and Pandas: only once there is such a sweep
    from dynsweep.launchers.rounds import Round, Rounds

log = logging.getLogger(__name__)

PREFIX = "hydra.sweeper."


class AdaptiveSweeper(FusedSweeper):
    """The cells of a grid, each with as many seeds as its error asks for, and finer where
    neighbours differ."""

    def __init__(self, params: Any = None, **settings: Any) -> None:
        super().__init__(None, params)
        plain: Any = OmegaConf.to_container(OmegaConf.create(settings))
        self.conf = AdaptiveSweeperConf(**plain)
        self.task: Any

    def sweep(self, arguments: list[str]) -> Any:
        """Launch rounds until all errors are as wanted, and raise
        :class:`~dynsweep.errors.SweepFailed` if any run failed."""
        if not isinstance(self.task, Task):
            allowed = "trains the runs of dynsweep; for another app take basic"
            raise ConfigError("hydra/sweeper", "adaptive", allowed)
        from dynsweep.launchers.lattice import Lattice
        from dynsweep.launchers.rounds import Rounds

        check(self.conf, PREFIX)
        basic, launcher = self.basic, self.basic.launcher
        config, loader = basic.config, basic.hydra_context.config_loader
        self.fused = isinstance(launcher, FusedLauncher)
        self.here = getattr(launcher, "here", "Slurm" not in type(launcher).__name__)
        composer = launcher.composer if self.fused else Composer(loader, config)
        tasks = jobs(basic.params, arguments, loader)
        first_seed, tasks = _without_seeds(tasks)
        numbered = told(enumerate(tasks), len(tasks), "Composing")
        runs = meant_all([composer.run(number, job) for number, job in numbered])
        self.task.check(runs, self.here)
        self.unfit = dict(self.task.unfit)
        if not config.hydra.sweep.dir:
            raise ConfigError("hydra.sweep.dir", "", NO_DIRECTORY)
        directory = Path(config.hydra.sweep.dir)
        lattice = Lattice(
            tasks, runs, self.conf.refine, lambda job: meant(composer.run(-1, job), both=True)
        )
        self._check_bounds(len(lattice.grid))
        first = runs[0].settings
        size = self._together(runs)
        rounds = Rounds(lattice, self.conf, directory, first.objective, first_seed, size)
        if any(run.settings.dry_run for run in runs):
            todo = self._runs(rounds, rounds.next(first.retry_failed), 0)
            print(plan(todo, self.task, launcher, directory, self.here))
            print("That is the next round; those after it follow from what it gives.")
            return []
        returns: list[Sequence[JobReturn]] = []
        with no_trace_of_refusals(directory):
            make_sweep(directory)
            self.task.starts(directory)
            write_multirun(config, directory)
            self.task.runs = []
            numbers = [record["number"] for record in latest(directory).values()]
            number = 1 + max(numbers, default=-1)
            retry, before = first.retry_failed, None
            while (chosen := rounds.next(retry)).seeds and chosen.seeds != before:
                retry, before = False, chosen.seeds
                rounds.note(chosen)
                log.info("%s", _progress(chosen, self.conf))
                todo = self._runs(rounds, chosen, number)
                number += len(todo)
                self.task.runs = [*self.task.runs, *todo]
                returns.append(self._launch(todo))
                if self.task.detached:
                    log.info("The same command decides the next round, once these runs are done")
                    break
            else:
                log.info("%s", _end(chosen, self.conf))
                if chosen.number == 1:  # of a grid that was precise enough: for its figures
                    with suppress(StorageError):
                        rounds.note(chosen)
        raise_failures(list(itertools.chain(*returns)))
        return returns

    def _launch(self, runs: Sequence[Run]) -> Sequence[JobReturn]:
        launcher = self.basic.launcher
        found: Sequence[JobReturn]
        if self.fused:
            found = launcher.launch_runs(runs)
        else:
            found = launcher.launch([run.overrides for run in runs], runs[0].number)
        return found

    def _runs(self, rounds: "Rounds", chosen: "Round", number: int) -> list[Run]:
        """The runs of a round, numbered from ``number``; the task is told which cannot train."""
        from dynsweep.launchers.lattice import seeded

        found: list[Run] = []
        unfit: dict[int, ConfigError] = {}
        for point, seeds in chosen.seeds.items():
            cell = rounds.lattice.run(point)
            assert cell is not None
            runs = [seeded(cell, number + len(found) + i, seed) for i, seed in enumerate(seeds)]
            if cell.number in self.unfit:
                unfit |= dict.fromkeys((run.number for run in runs), self.unfit[cell.number])
            found += runs
        self.task.unfit = unfit
        return found

    def _together(self, runs: Sequence[Run]) -> int | None:
        """How many runs this machine trains at once; ``None`` where others train."""
        launcher = self.basic.launcher
        if not self.fused or not (workers := launcher.worker_count(runs)):
            return None
        from dynsweep.sweep.teams import Team

        fit = [run for run in runs if run.number not in self.unfit]
        together: int = workers * Team([], fit[0].settings).size
        return together

    def _check_bounds(self, cells: int) -> None:
        conf = self.conf
        if conf.max_seeds < conf.min_seeds:
            allowed = f"must be at least {PREFIX}min_seeds={conf.min_seeds}"
            raise ConfigError(f"{PREFIX}max_seeds", conf.max_seeds, allowed)
        if conf.runs is not None and conf.runs < cells * conf.min_seeds:
            least = cells * conf.min_seeds
            allowed = (
                f"must be at least {least:,}: {conf.min_seeds} seeds in each of {cells:,} cells"
            )
            raise ConfigError(f"{PREFIX}runs", conf.runs, allowed)


def _without_seeds(tasks: list[list[str]]) -> tuple[int, list[list[str]]]:
    """The least seed of some jobs, and these jobs without theirs, each once. (A seed that is none
    stays, to be refused.)"""
    words = {word for job in tasks for word in job if re.fullmatch(r"seed=\d+", word)}
    kept = (tuple(word for word in job if word not in words) for job in tasks)
    least = min((int(word.removeprefix("seed=")) for word in words), default=0)
    return least, [list(job) for job in dict.fromkeys(kept)]


def _progress(chosen: "Round", conf: AdaptiveSweeperConf) -> str:
    asked, cells = sum(map(len, chosen.seeds.values())), len(chosen.seeds)
    text = f"Round {chosen.number}: {_count(asked, 'run')} for {_count(cells, 'cell')}"
    if chosen.runs:
        text += f"; {chosen.runs:,} runs so far"
        if conf.error is not None:
            text += f", {_above(chosen, conf)}"
    return text


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _above(chosen: "Round", conf: AdaptiveSweeperConf) -> str:
    above = chosen.above + chosen.spent
    text = f"{above:,} of {_count(chosen.cells, 'cell')} above the error {conf.error:g}"
    if above:
        text += f" (largest {chosen.largest:.3f})"
    if chosen.spent:
        text += f", {chosen.spent:,} of them with {conf.max_seeds} seeds, the most"
    return text


def _end(chosen: "Round", conf: AdaptiveSweeperConf) -> str:
    text = f"{_count(chosen.runs, 'run')} in {_count(chosen.cells, 'cell')}"
    if conf.error is not None:
        text += f"; {_above(chosen, conf)}"
    bounded = conf.runs is not None and chosen.runs >= conf.runs
    return text + f". {PREFIX}runs={conf.runs} are spent" * bounded
