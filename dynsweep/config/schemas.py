"""The typed settings as Hydra's schemas, on which the YAML files in ``conf`` build; and back."""

from omegaconf import DictConfig, OmegaConf

from dynsweep.config.groups import EngineConfig, LossConfig, ObserveConfig, OptimizerConfig
from dynsweep.config.launchers import (
    AdaptiveSweeperConf,
    FusedLauncherConf,
    FusedSweeperConf,
    SlurmConf,
)
from dynsweep.config.run import SETTINGS, RunConfig, from_flat
from dynsweep.config.words import unknown
from dynsweep.data import DATASETS
from dynsweep.errors import ConfigError
from dynsweep.models import MODELS
from dynsweep.settings import flatten

GROUPS = ("dataset", "model", "loss", "optimizer", "engine", "observe")


def register_schemas() -> None:
    """Store every dataclass in the config group ``schema/GROUP``."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="run", group="hydra/schema", node=RunConfig)
    for group, kinds in (("dataset", DATASETS), ("model", MODELS)):
        for name, node in kinds.items():
            store.store(name=name, group=f"hydra/schema/{group}", node=node)
    store.store(name="cross_entropy", group="hydra/schema/loss", node=LossConfig)
    store.store(name="sgd", group="hydra/schema/optimizer", node=OptimizerConfig)
    store.store(name="engine", group="hydra/schema/engine", node=EngineConfig)
    store.store(name="observe", group="hydra/schema/observe", node=ObserveConfig)
    store.store(name="fused", group="hydra/launcher", node=FusedLauncherConf)
    store.store(name="fused_slurm", group="hydra/launcher", node=SlurmConf)
    store.store(name="fused", group="hydra/sweeper", node=FusedSweeperConf)
    store.store(name="adaptive", group="hydra/sweeper", node=AdaptiveSweeperConf)


def typed(config: DictConfig) -> RunConfig:
    """The typed settings of what Hydra composed, without its own part.

    Raises:
        ConfigError: a group is missing, or a setting was added that there is none of.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    for group in GROUPS:
        if plain.get(group) is None:
            raise ConfigError(group, plain.get(group), "must not be removed")
    try:
        return from_flat(flatten(plain))
    except ConfigError as error:
        if error.setting not in SETTINGS and "did you mean" in (text := unknown(error.setting)):
            raise ConfigError(error.setting, error.value, text) from None
        raise
