"""What Hydra runs: one config with any launcher; the fused ones ask it for the sweep's doings."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dynsweep.config import Run, typed
from dynsweep.config.intent import meant
from dynsweep.config.secrets import hidden
from dynsweep.errors import DeviceLost, DynsweepError, RunFailed, StorageError
from dynsweep.own import along
from dynsweep.store import SweepPaths
from dynsweep.store.files import replacing
from dynsweep.store.foreign import ForeignFile, refuse_foreign
from dynsweep.sweep.leftovers import remove_leftovers
from dynsweep.sweep.signals import SIGNALS

if TYPE_CHECKING:
    from dynsweep.sweep.teams import Unfit


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
        signals: what asks this process to end.
        runs: the whole grid, once it was checked.
        unfit: why some of them cannot be trained, by their number.
        directories: where this process recorded runs, or had others record them.
        multirun: whether they are sweep directories.
        report: whether their page is wanted.
        detached: whether tasks of a cluster that nobody waits for have runs to train.
        failed: errors of runs that a sweeper other than ours went on without.
        endings: asked at the end of the command; each returns a warning, or nothing.
    """

    def __init__(self) -> None:
        self.signals = SIGNALS
        self.runs: Sequence[Run] = ()
        self.unfit: Unfit = {}
        self.directories: list[Path] = []
        self.multirun = False
        self.report = False
        self.detached = False
        self.failed: list[Exception] = []
        self.endings: list[Callable[[], str]] = []

    def __call__(self, cfg: DictConfig) -> Any:
        from dynsweep.sweep.runner import run_sweep
        from dynsweep.sweep.teams import check, warn

        hydra = HydraConfig.get()
        multirun = hydra.mode == RunMode.MULTIRUN
        # All jobs of a multirun share one store, whichever launcher runs them.
        directory = Path(hydra.sweep.dir if multirun else hydra.runtime.output_dir)
        number = hydra.job.num if multirun else 0
        try:
            # First of all: a setting may be refused.
            along(hydra.runtime.config_sources)
            _hide_secrets(Path(hydra.runtime.output_dir, hydra.output_subdir or "", "hydra.yaml"))
            both = multirun  # a sweep was checked as a whole
            run = meant(Run(number, list(hydra.overrides.task), typed(cfg)), both)
            if run.settings.dry_run:
                return self._tell_plan(run, directory)
            self.starts(directory, multirun)
            if not multirun:  # the jobs of a stock launcher are many, and have one directory
                if unfit := check([run]):
                    raise unfit[0]
                remove_leftovers(directory)
                warn([run], {})
            with self.signals.patiently():
                stop, alone = self.signals.stop, not multirun
                (result,) = run_sweep([run], directory, stop=stop, estimated=alone)
            if isinstance(result, Exception):
                raise result
            return result
        except DynsweepError as error:
            if multirun:
                raise
            failed = isinstance(error, RunFailed | StorageError | DeviceLost)
            failed = failed and not isinstance(error, ForeignFile)
            raise Stop(1 if failed else 2, error) from None

    def _tell_plan(self, run: Run, directory: Path) -> None:
        """Of a single run; what Hydra has put into a new directory for it goes again."""
        from dynsweep.sweep import plan
        from dynsweep.sweep.outcomes import Outcomes
        from dynsweep.sweep.teams import check, warn

        unfit = check([run])
        warn([run], unfit)
        print(plan.text(Outcomes([run], directory, unfit=unfit), workers=1))
        with suppress(OSError, ValueError):
            (only,) = directory.iterdir()
            if only.suffix == ".log":
                only.unlink()
                directory.rmdir()

    def check(self, runs: Sequence[Run], here: bool) -> None:
        """Check the whole grid, see :mod:`dynsweep.sweep.teams`; refuse it if no run is fit."""
        from dynsweep.sweep.teams import check, warn

        unfit = check(runs, here)
        if len(unfit) == len(runs):
            raise unfit[0]
        warn(runs, unfit)
        self.runs = runs
        self.unfit = {runs[place].number: error for place, error in unfit.items()}
        self.report = any(run.settings.report for run in runs)

    def starts(self, directory: Path, multirun: bool = True) -> None:
        """Note where runs will be recorded from now on.

        Raises:
            ForeignFile: something there would be replaced, and is not dynsweep's.
        """
        self.multirun = multirun
        if directory not in self.directories:
            refuse_foreign(_outputs(directory, multirun, self.report))
            self.directories.append(directory)


def _outputs(directory: Path, multirun: bool, report: bool) -> list[Path]:
    """What will be written there, besides records."""
    paths = SweepPaths(directory)
    pictures: list[Path] = []
    if any(directory.glob("*.p[nd][gf]")):  # only then: Matplotlib takes its time
        from dynsweep.figures import FIGURES

        pictures = [directory / f"{name}.{form}" for name in FIGURES for form in ("png", "pdf")]
    pictures += [paths.multirun] * multirun + [paths.report] * report
    folders = [paths.runs, paths.weights, paths.trajectories, paths.snapshots, paths.checkpoints]
    files = [path for path in [*folders, paths.claims, paths.tasks] if path.is_file()]
    return [paths.results, paths.cells, *pictures, *files]


def _hide_secrets(path: Path) -> None:
    """In Hydra's own record of a job."""
    if path.exists():
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        if (shown := hidden(config)) != config:
            with replacing(path) as partial:
                OmegaConf.save(OmegaConf.create(shown), partial)
