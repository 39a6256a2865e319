"""The typed settings of a run: the schema that Hydra checks, and the ranges it cannot check.

The dataclasses serve twice. Registered with Hydra's ``ConfigStore`` they reject unknown keys
and wrong types at composition; built by :func:`run_config` they are what the rest of the
program reads; hashable, so that equal configs are found. Nothing here imports PyTorch: tab
completion stays quick.
"""

from dynsweep.config.dataset import DATASETS, CIFAR10Config, DatasetConfig, SpiralsConfig
from dynsweep.config.engine import EngineConfig
from dynsweep.config.loss import LossConfig
from dynsweep.config.model import (
    MODELS,
    MLPConfig,
    ModelConfig,
    Myrtle5Config,
    WideResNetConfig,
)
from dynsweep.config.observe import NTKConfig, ObserveConfig, SharpnessConfig
from dynsweep.config.optimizer import OptimizerConfig, ScheduleConfig
from dynsweep.config.run import SCIENCE, RunConfig, flatten, run_config
from dynsweep.config.schemas import register_schemas

__all__ = [
    "DATASETS",
    "MODELS",
    "SCIENCE",
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
    "RunConfig",
    "ScheduleConfig",
    "SharpnessConfig",
    "SpiralsConfig",
    "WideResNetConfig",
    "flatten",
    "register_schemas",
    "run_config",
]
