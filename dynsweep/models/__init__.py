"""Models, one file each. To add one: its file, and a line in ``MODELS``."""

from dynsweep.models.base import Model, ModelConfig
from dynsweep.models.mlp import MLPConfig
from dynsweep.models.module import OwnModelConfig
from dynsweep.models.myrtle5 import Myrtle5Config
from dynsweep.models.wide_resnet import WideResNetConfig

__all__ = [
    "MODELS",
    "MLPConfig",
    "Model",
    "ModelConfig",
    "Myrtle5Config",
    "OwnModelConfig",
    "WideResNetConfig",
]

MODELS: dict[str, type[ModelConfig]] = {
    "mlp": MLPConfig,
    "myrtle5": Myrtle5Config,
    "wide_resnet": WideResNetConfig,
    "own": OwnModelConfig,
}
