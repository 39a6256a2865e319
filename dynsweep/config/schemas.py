"""The typed settings as Hydra's schemas; the YAML files in ``conf`` build on them."""

from __future__ import annotations

from dynsweep.config.engine import EngineConfig
from dynsweep.config.loss import LossConfig
from dynsweep.config.observe import ObserveConfig
from dynsweep.config.optimizer import OptimizerConfig
from dynsweep.config.run import RunConfig
from dynsweep.data import DATASETS
from dynsweep.models import MODELS


def register_schemas() -> None:
    """Store every dataclass in the config group ``schema/GROUP``."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="run", group="schema", node=RunConfig)
    for group, kinds in (("dataset", DATASETS), ("model", MODELS)):
        for name, node in kinds.items():
            store.store(name=name, group=f"schema/{group}", node=node)
    store.store(name="cross_entropy", group="schema/loss", node=LossConfig)
    store.store(name="sgd", group="schema/optimizer", node=OptimizerConfig)
    store.store(name="engine", group="schema/engine", node=EngineConfig)
    store.store(name="observe", group="schema/observe", node=ObserveConfig)
