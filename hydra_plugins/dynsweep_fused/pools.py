"""``hydra/launcher=fused_slurm`` and ``fused_local``: batches of runs as tasks of submitit's."""

# No postponed annotations here: Hydra's search for plugins executes this file before the module
# is in sys.modules, where dataclasses would look them up.

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from dynsweep.launchers.launch import Launch


@dataclass
class PoolConf:
    """What both launchers take. First our own settings, then submitit's under its stock names.

    ``tasks``, ``runs_per_task``, ``minutes_per_task``: how large tasks are, by their number, by
    runs, or by an estimate of their time; at most one is given, else a task gets work for half of
    ``timeout_min``. ``detach``: submit and return at once. ``stall_minutes``: a running task that
    has got no further for so long is told of. ``on_interrupt``: what Ctrl-C does to tasks,
    ``cancel`` or ``detach``. ``max_num_timeout``: how often a task that ran out of time may go on.
    """

    tasks: int | None = None
    runs_per_task: int | None = None
    minutes_per_task: float | None = None
    detach: bool = False
    on_interrupt: str = "cancel"
    stall_minutes: float = 30.0
    job_dirs: bool = False

    submitit_folder: str = "${hydra.sweep.dir}/.submitit/%j"
    timeout_min: int = 60
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    mem_gb: int | None = None
    name: str = "${hydra.job.name}"
    stderr_to_stdout: bool = False
    max_num_timeout: int = 10
    array_parallelism: int = 256


@dataclass
class SlurmConf(PoolConf):
    """Settings of ``hydra/launcher=fused_slurm``; ``array_parallelism``: most tasks at a time."""

    _target_: str = "hydra_plugins.dynsweep_fused.pools.FusedSlurmLauncher"
    partition: str | None = None
    qos: str | None = None
    comment: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    gres: str | None = None
    cpus_per_gpu: int | None = None
    gpus_per_task: int | None = None
    mem_per_gpu: str | None = None
    mem_per_cpu: str | None = None
    account: str | None = None
    signal_delay_s: int = 120
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    setup: list[str] | None = None


@dataclass
class LocalConf(PoolConf):
    """Settings of ``hydra/launcher=fused_local``; ``array_parallelism``: processes at a time."""

    _target_: str = "hydra_plugins.dynsweep_fused.pools.FusedLocalLauncher"
    array_parallelism: int = 1


for _name, _node in (("fused_slurm", SlurmConf), ("fused_local", LocalConf)):
    ConfigStore.instance().store(
        group="hydra/launcher", name=_name, node=_node, provider="dynsweep"
    )


class _PoolLauncher(Launcher):
    kind = ""
    here = True

    def __init__(self, **settings: Any) -> None:
        self.settings = {
            name: OmegaConf.to_container(value, resolve=True)
            if OmegaConf.is_config(value)
            else value
            for name, value in settings.items()
        }
        self.job_dirs = bool(self.settings.pop("job_dirs", False))
        self.task: TaskFunction | None = None
        self.work: Launch | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from dynsweep.launchers.jobs import SpreadableTask
        from dynsweep.launchers.launch import Launch

        if not isinstance(task_function, SpreadableTask):
            raise TypeError(
                f"hydra/launcher=fused_{self.kind} shares the runs of dynsweep; "
                f"for another app take submitit_{self.kind}"
            )
        spread = task_function.spread_jobs
        self.work = Launch(
            hydra_context,
            task_function,
            config,
            self.job_dirs,
            lambda jobs, sweep: spread(jobs, sweep, self.kind, self.settings),
        )

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        assert self.work is not None
        return self.work.run(job_overrides, initial_job_idx)


class FusedSlurmLauncher(_PoolLauncher):
    """Tasks of a Slurm cluster; see ``dynsweep.cluster``."""

    kind = "slurm"
    here = False


class FusedLocalLauncher(_PoolLauncher):
    """Processes of this machine that outlive the command."""

    kind = "local"
