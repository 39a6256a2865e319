"""``hydra/sweeper=fused``: the product of all axes, checked as a whole before the first job."""

# No postponed annotations here: Hydra's search for plugins executes this file before the module
# is in sys.modules, where dataclasses would look them up.

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from dynsweep.launchers.sweep import Sweep


@dataclass
class FusedSweeperConf:
    """Settings of ``hydra.sweeper``.

    ``params``: axes of the sweep, as on the command line: a string (``10,20``, ``range(0,5)``),
    one value, or a YAML list of the axis's values. ``max_batch_size``: most jobs per launch.
    """

    _target_: str = "hydra_plugins.dynsweep_fused.sweeper.FusedSweeper"
    max_batch_size: int | None = None
    params: dict[str, Any] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="fused", node=FusedSweeperConf, provider="dynsweep"
)


class FusedSweeper(Sweeper):
    """Hydra's basic sweeper with fast checks of all jobs; see ``launchers.sweep``."""

    def __init__(self, max_batch_size: int | None, params: dict[str, Any] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.params = params
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self._work: Sweep | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from hydra.core.plugins import Plugins

        from dynsweep.launchers.sweep import Sweep

        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self._work = Sweep(hydra_context, task_function, config, self.launcher)

    def sweep(self, arguments: list[str]) -> Any:
        assert self._work is not None
        return self._work.run(arguments, dict(self.params or {}), self.max_batch_size)
