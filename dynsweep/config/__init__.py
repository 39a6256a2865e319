"""The typed settings of a run: declared once, checked, known by their differences.

Nothing here imports PyTorch: tab completion stays quick.
"""

from dynsweep.config.groups import EngineConfig as EngineConfig
from dynsweep.config.groups import LandscapeConfig as LandscapeConfig
from dynsweep.config.groups import LossConfig as LossConfig
from dynsweep.config.groups import NTKConfig as NTKConfig
from dynsweep.config.groups import ObserveConfig as ObserveConfig
from dynsweep.config.groups import OptimizerConfig as OptimizerConfig
from dynsweep.config.groups import ScheduleConfig as ScheduleConfig
from dynsweep.config.groups import SharpnessConfig as SharpnessConfig
from dynsweep.config.run import SETTINGS as SETTINGS
from dynsweep.config.run import Run as Run
from dynsweep.config.run import RunConfig as RunConfig
from dynsweep.config.run import from_flat as from_flat
from dynsweep.config.run import identity as identity
from dynsweep.config.schemas import register_schemas as register_schemas
from dynsweep.config.schemas import typed as typed
from dynsweep.data import DATASETS as DATASETS
from dynsweep.data import CIFAR10Config as CIFAR10Config
from dynsweep.data import DatasetConfig as DatasetConfig
from dynsweep.data import SpiralsConfig as SpiralsConfig
from dynsweep.data import TableConfig as TableConfig
from dynsweep.models import MODELS as MODELS
from dynsweep.models import MLPConfig as MLPConfig
from dynsweep.models import ModelConfig as ModelConfig
from dynsweep.models import Myrtle5Config as Myrtle5Config
from dynsweep.models import WideResNetConfig as WideResNetConfig
from dynsweep.settings import Setting as Setting
from dynsweep.settings import flatten as flatten
from dynsweep.settings import replaced as replaced
