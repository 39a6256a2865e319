"""``hydra/launcher=fused``: all jobs of a multirun in one process, handed over together."""

# No postponed annotations here: Hydra's search for plugins executes this file before the module
# is in sys.modules, where dataclasses would look them up.

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from dynsweep.launchers.launch import Launch


@dataclass
class FusedLauncherConf:
    """Settings of ``hydra.launcher``.

    ``job_dirs``: also write a directory with Hydra's ``.hydra`` folder for every job of a task
    that takes all jobs together (others always get theirs). ``workers``: processes that share
    the jobs; by default one for each GPU, and one on a machine without.
    """

    _target_: str = "hydra_plugins.dynsweep_fused.launcher.FusedLauncher"
    job_dirs: bool = False
    workers: int | None = None


ConfigStore.instance().store(
    group="hydra/launcher", name="fused", node=FusedLauncherConf, provider="dynsweep"
)


class FusedLauncher(Launcher):
    """Runs jobs in this process, in one call if the task allows it; see ``launchers.launch``."""

    def __init__(self, job_dirs: bool = False, workers: int | None = None) -> None:
        # The task reads the number of workers from the config.
        self.job_dirs = job_dirs
        self.work: Launch | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from dynsweep.launchers.launch import Launch

        self.work = Launch(hydra_context, task_function, config, self.job_dirs)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        assert self.work is not None
        return self.work.run(job_overrides, initial_job_idx)
