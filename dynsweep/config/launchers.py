"""Settings of ``hydra.launcher`` and ``hydra.sweeper``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dynsweep.errors import ConfigError, no_such
from dynsweep.settings import check, declared, setting

PREFIX = "hydra.launcher."
SIZES = ("tasks", "runs_per_task", "minutes_per_task")
# Options of sbatch that would start a task several times, or that say what a setting says; and
# what to give instead.
OTHERWISE = {
    **dict.fromkeys(("time", "t"), "timeout_min"),
    "signal": "signal_delay_s",
    **dict.fromkeys(("output", "o", "error", "e"), "submitit_folder"),
    **dict.fromkeys(("array", "a"), "tasks"),
    **dict.fromkeys(("nodes", "N", "ntasks", "n", "tasks_per_node"), "tasks"),
    **{f"ntasks_per_{one}": "tasks" for one in ("node", "core", "socket", "gpu")},
}
RANKS = "would train the same runs several times; more tasks: hydra.launcher.tasks"


@dataclass
class FusedLauncherConf:
    """``hydra/launcher=fused``: runs together, on this machine."""

    _target_: str = "hydra_plugins.dynsweep.FusedLauncher"
    # processes that share the runs; null: one for each GPU, and one on a machine without
    workers: int | None = None


@dataclass
class FusedSweeperConf:
    """``hydra/sweeper=fused``: the product of all axes."""

    _target_: str = "hydra_plugins.dynsweep.FusedSweeper"
    # most jobs of a launch; null: all
    max_batch_size: int | None = None
    # axes, as on the command line (10,20 or range(0,5)), one value, or a YAML list of values
    params: dict[str, Any] | None = None


@dataclass
class AdaptiveSweeperConf:
    """``hydra/sweeper=adaptive``: the cells of a grid, each with as many seeds as it needs, and
    finer where neighbours differ."""

    _target_: str = "hydra_plugins.dynsweep.AdaptiveSweeper"

    error: float | None = setting(
        0.03, "wanted error of a cell's mean objective; null: no seeds beyond min_seeds", above=0
    )
    min_seeds: int = setting(3, "seeds of every cell", least=2)
    max_seeds: int = setting(50, "most seeds of a cell", least=2)
    runs: int | None = setting(None, "most runs in all", least=1)
    refine: int = setting(0, "how often the spacing of the axes may be halved", least=0, most=6)
    contrast: float = setting(
        0.1, "by how much neighbours differ, beyond their errors, where it is halved", above=0
    )
    # axes, as for hydra/sweeper=fused; of the seeds the least is where they begin
    params: dict[str, Any] | None = None


@dataclass
class SlurmConf:
    """Settings of ``hydra.launcher``: first our own, then submitit's under their stock names."""

    _target_: str = "hydra_plugins.dynsweep.FusedSlurmLauncher"

    tasks: int | None = setting(None, "number of tasks; at most as many as runs", least=1)
    runs_per_task: int | None = setting(None, "most runs in a task", least=1)
    minutes_per_task: float | None = setting(
        None, "about so long for each task; of these three at most one is given", above=0
    )
    detach: bool = setting(False, "submit and return at once")
    on_interrupt: str = setting(
        "cancel", "what Ctrl-C does to the tasks", choices=("cancel", "detach")
    )
    stall_minutes: float = setting(
        30.0, "name a running task that has got no further for so long", above=0
    )

    submitit_folder: str = setting("${hydra.sweep.dir}/.submitit/%j", "scripts and logs")
    timeout_min: int = setting(60, "time limit of a task; by default it gets half of it", least=1)
    max_num_timeout: int = setting(10, "how often a task out of time may go on", least=0)
    signal_delay_s: int = setting(120, "seconds from the warning to the time limit", least=0)
    array_parallelism: int = setting(256, "most tasks at a time", least=1)
    cpus_per_task: int | None = setting(None, "CPU threads of a task", least=1)
    gpus_per_node: int | None = setting(None, "GPUs of a task; a worker on each", least=0)
    mem_gb: int | None = setting(None, "memory of a task", least=0)
    name: str = setting("${hydra.job.name}", "of the tasks in Slurm's lists")
    stderr_to_stdout: bool = setting(False, "one log for both streams of a task")
    partition: str | None = setting(None, "Slurm's partitions, separated by commas")
    qos: str | None = setting(None, "Slurm's quality of service")
    account: str | None = setting(None, "who pays")
    comment: str | None = setting(None, "for Slurm's lists")
    constraint: str | None = setting(None, "features that nodes must have")
    exclude: str | None = setting(None, "nodes to leave out")
    gres: str | None = setting(None, "generic resources, such as gpu:a100:1")
    gpus_per_task: int | None = setting(None, "as gpus_per_node, bound to the task", least=0)
    cpus_per_gpu: int | None = setting(None, "CPU threads for each GPU", least=1)
    mem_per_gpu: str | None = setting(None, "memory for each GPU, such as 16G")
    mem_per_cpu: str | None = setting(None, "memory for each CPU, such as 2G")
    # any other option of sbatch
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    # commands before the task starts, such as "module load cuda"
    setup: list[str] | None = None

    def rules(self) -> None:
        given = [(name, value) for name in SIZES if (value := getattr(self, name)) is not None]
        if len(given) > 1:
            (first, held), (second, value) = given[:2]
            allowed = f"excludes {PREFIX}{first}={held}; give one of them"
            raise ConfigError(PREFIX + second, value, allowed)
        if 60 * self.timeout_min <= self.signal_delay_s:
            allowed = (
                f"these minutes must be longer than {PREFIX}signal_delay_s={self.signal_delay_s} "
                "seconds, which a task has to save its state"
            )
            raise ConfigError(f"{PREFIX}timeout_min", self.timeout_min, allowed)
        for name, value in self.additional_parameters.items():
            option = name.replace("-", "_")
            # sbatch takes the beginning of a name for the name.
            longer = (known for known in OTHERWISE if len(option) > 1 and known.startswith(option))
            if instead := OTHERWISE.get(option, OTHERWISE.get(next(longer, ""))):
                several = instead == "tasks"
                allowed = RANKS if several else f"give {PREFIX}{instead} instead"
                raise ConfigError(f"{PREFIX}additional_parameters.{name}", value, allowed)


# By the names that are typed, of all launchers and the sweeper; where they share one, the last's.
LAUNCHING = {
    **declared(FusedSweeperConf, "hydra.sweeper."),
    **declared(AdaptiveSweeperConf, "hydra.sweeper."),
    **declared(FusedLauncherConf, PREFIX),
    **declared(SlurmConf, PREFIX),
}


def slurm_conf(settings: Mapping[str, Any]) -> SlurmConf:
    """The typed settings, by name; others have defaults.

    Raises:
        ConfigError: there is no such setting, or one is out of range.
    """
    names = [one.name for one in fields(SlurmConf)]
    for name, value in settings.items():
        if name not in names and OTHERWISE.get(name) == "tasks":
            raise ConfigError(PREFIX + name, value, RANKS)
        if name not in names:
            raise ConfigError(PREFIX + name, value, no_such(name, names[1:]))
    conf = SlurmConf(**settings)
    check(conf, PREFIX)
    return conf
