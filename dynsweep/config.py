"""The typed settings of a run: the schema that Hydra checks, and the ranges it cannot check.

The dataclasses below serve twice. Registered with Hydra's ``ConfigStore`` they reject unknown
keys and wrong types at composition; instantiated by :func:`run_config` they are what the
rest of the program reads; hashable, so that equal configs are found. Nothing here imports
PyTorch: tab completion stays quick.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from dynsweep.errors import ConfigError, no_such

PRECISIONS = ("float32", "float64")
DEVICES = ("auto", "cpu", "cuda")
INITS = ("standard", "glorot")
COUNTINGS = ("paper", "notebook")
SPACINGS = ("linear", "log")
ENGINES = ("auto", "compiled", "reference", "triton", "graphed")


@dataclass(unsafe_hash=True)
class DatasetConfig:
    """What every dataset has; the concrete ones are listed in ``DATASETS``."""

    name: str = "???"


@dataclass(unsafe_hash=True)
class SpiralsConfig(DatasetConfig):
    """Interleaved spirals in the plane (the paper's toy problem, DESIGN section 1)."""

    name: str = "spirals"
    classes: int = 3
    samples_per_class: int = 100
    validation_samples_per_class: int = 100
    noise: float = 0.2
    revolutions: float = 2.0
    seed: int = 0


@dataclass(unsafe_hash=True)
class ModelConfig:
    """What every model has; the concrete ones are listed in ``MODELS``."""

    name: str = "???"
    width: int = 100


@dataclass(unsafe_hash=True)
class MLPConfig(ModelConfig):
    """One hidden layer of ``width`` ReLU units."""

    name: str = "mlp"
    init: str = "standard"
    bias: bool = True


@dataclass(unsafe_hash=True)
class LossConfig:
    """Dynamical cross-entropy; amplitude 1 is the ordinary static loss.

    ``period`` counts minimisation steps. ``counting=notebook`` repeats the authors' notebook,
    whose cycles last ``period + 1`` steps.
    """

    name: str = "cross_entropy"
    period: int = 200
    amplitude: float = 20.0
    last_period_static: bool = True
    counting: str = "paper"


@dataclass(unsafe_hash=True)
class OptimizerConfig:
    """Full-batch gradient descent."""

    name: str = "sgd"
    lr: float = 1.0


@dataclass(unsafe_hash=True)
class EngineConfig:
    """How a batch of runs is trained. Never part of a run's identity."""

    name: str = "auto"
    batch_size: int | None = None
    threads: int | None = None


@dataclass(unsafe_hash=True)
class ObserveConfig:
    """What is recorded along a run. Never part of a run's identity."""

    records: int = 0
    spacing: str = "linear"


@dataclass(unsafe_hash=True)
class RunConfig:
    """Everything that decides one run, and where it is computed."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    steps: int = 35000
    seed: int = 0
    precision: str = "float32"
    device: str = "auto"
    save_weights: bool = True
    retry_failed: bool = True
    objective: str = "validation_accuracy"

    def science(self) -> dict[str, Any]:
        """The settings that decide the result: what identifies a run, as a nested dict."""
        parts = {key: getattr(self, key) for key in SCIENCE}
        return {key: vars(part) if is_dataclass(part) else part for key, part in parts.items()}

    def identity(self) -> str:
        """A stable name of the run: equal settings give equal names, on any machine."""
        text = json.dumps(self.science(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


SCIENCE = ("dataset", "model", "loss", "optimizer", "steps", "seed", "precision")
OBJECTIVES = ("train_accuracy", "validation_accuracy", "train_loss", "validation_loss")
DATASETS: dict[str, type[DatasetConfig]] = {"spirals": SpiralsConfig}
MODELS: dict[str, type[ModelConfig]] = {"mlp": MLPConfig}


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """Build the typed config of one run from resolved plain settings, and check its ranges.

    Args:
        settings: nested plain dict as Hydra composed it (types are already checked there).

    Raises:
        ConfigError: naming the first setting that is missing, unknown or out of range.
    """
    kinds = {
        "dataset": _pick(DATASETS, "dataset", settings),
        "model": _pick(MODELS, "model", settings),
        "loss": LossConfig,
        "optimizer": OptimizerConfig,
        "engine": EngineConfig,
        "observe": ObserveConfig,
    }
    parts = {name: _build(kind, settings.get(name), f"{name}.") for name, kind in kinds.items()}
    config: RunConfig = _build(RunConfig, {**settings, **parts}, "")
    check(config)
    return config


def _pick(known: Mapping[str, type], group: str, settings: Mapping[str, Any]) -> type:
    name = str((settings.get(group) or {}).get("name"))
    if name not in known:
        raise ConfigError(f"{group}.name", name, f"must be one of {', '.join(known)}")
    return known[name]


def _build(kind: type, settings: Mapping[str, Any] | None, prefix: str) -> Any:
    if settings is None:
        raise ConfigError(prefix.rstrip("."), None, "must not be removed")
    try:
        return kind(**settings)
    except TypeError:
        known = [one.name for one in fields(kind)]
        for name in settings:
            if name not in known:
                raise ConfigError(prefix + name, settings[name], no_such(name, known)) from None
        raise


def check(config: RunConfig) -> None:
    """Raise :class:`ConfigError` for the first setting whose value is out of range."""
    dataset, model = config.dataset, config.model
    if isinstance(dataset, SpiralsConfig):
        _at_least("dataset.classes", dataset.classes, 2)
        _at_least("dataset.samples_per_class", dataset.samples_per_class, 1)
        _at_least("dataset.validation_samples_per_class", dataset.validation_samples_per_class, 1)
        _at_least("dataset.noise", dataset.noise, 0)
        _finite("dataset.revolutions", dataset.revolutions)
        _at_least("dataset.seed", dataset.seed, 0)
    _at_least("model.width", model.width, 1)
    if isinstance(model, MLPConfig):
        _one_of("model.init", model.init, INITS)
    _one_of("loss.name", config.loss.name, ("cross_entropy",))
    _at_least("loss.period", config.loss.period, 1)
    _at_least("loss.amplitude", config.loss.amplitude, 1)
    _one_of("loss.counting", config.loss.counting, COUNTINGS)
    _one_of("optimizer.name", config.optimizer.name, ("sgd",))
    if not (math.isfinite(config.optimizer.lr) and config.optimizer.lr > 0):
        raise ConfigError("optimizer.lr", config.optimizer.lr, "must be a finite number above 0")
    _one_of("engine.name", config.engine.name, ENGINES)
    for name in ("batch_size", "threads"):
        value = getattr(config.engine, name)
        if value is not None:
            _at_least(f"engine.{name}", value, 1)
    _at_least("observe.records", config.observe.records, 0)
    _one_of("observe.spacing", config.observe.spacing, SPACINGS)
    _at_least("steps", config.steps, 0)
    _at_least("seed", config.seed, 0)
    _one_of("precision", config.precision, PRECISIONS)
    _one_of("device", config.device, DEVICES)
    _one_of("objective", config.objective, OBJECTIVES)


def _at_least(setting: str, value: float, least: float) -> None:
    if not (math.isfinite(value) and value >= least):
        raise ConfigError(setting, value, f"must be a finite number, at least {least}")


def _finite(setting: str, value: float) -> None:
    if not math.isfinite(value):
        raise ConfigError(setting, value, "must be a finite number")


def _one_of(setting: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(setting, value, f"must be one of {', '.join(allowed)}")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted names: ``{"loss": {"period": 3}}`` to
    ``{"loss.period": 3}``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def register_schemas() -> None:
    """Give Hydra the dataclasses above; the YAML files in ``conf`` build on them."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="run", group="schema", node=RunConfig)
    for group, known in (("dataset", DATASETS), ("model", MODELS)):
        for name, node in known.items():
            store.store(name=name, group=f"schema/{group}", node=node)
    store.store(name="cross_entropy", group="schema/loss", node=LossConfig)
    store.store(name="sgd", group="schema/optimizer", node=OptimizerConfig)
    store.store(name="engine", group="schema/engine", node=EngineConfig)
    store.store(name="observe", group="schema/observe", node=ObserveConfig)
