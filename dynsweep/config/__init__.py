"""The typed settings of a run: declared once, checked, known by their differences.

Nothing here imports PyTorch: tab completion stays quick.
"""

from collections.abc import Mapping
from typing import Any

from dynsweep.config.engine import EngineConfig
from dynsweep.config.loss import LossConfig
from dynsweep.config.observe import NTKConfig, ObserveConfig, SharpnessConfig
from dynsweep.config.optimizer import OptimizerConfig, ScheduleConfig
from dynsweep.config.run import SETTINGS, Run, RunConfig, from_flat, identity
from dynsweep.config.schemas import register_schemas, typed
from dynsweep.data import DATASETS, CIFAR10Config, DatasetConfig, SpiralsConfig
from dynsweep.models import MODELS, MLPConfig, ModelConfig, Myrtle5Config, WideResNetConfig
from dynsweep.settings import Setting, flatten, replaced

__all__ = [
    "DATASETS",
    "MODELS",
    "SETTINGS",
    "CIFAR10Config",
    "DatasetConfig",
    "EngineConfig",
    "LossConfig",
    "MLPConfig",
    "ModelConfig",
    "Myrtle5Config",
    "NTKConfig",
    "ObserveConfig",
    "OptimizerConfig",
    "Run",
    "RunConfig",
    "ScheduleConfig",
    "Setting",
    "SharpnessConfig",
    "SpiralsConfig",
    "WideResNetConfig",
    "flatten",
    "from_flat",
    "identity",
    "register_schemas",
    "replaced",
    "typed",
]

# Until every room takes runs:
SCIENCE = ("dataset", "model", "loss", "optimizer", "steps", "epochs", "seed", "precision")


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    run = from_flat(flatten(settings))
    run.check()
    return run
