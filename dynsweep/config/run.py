"""One run: its typed settings, built from what Hydra composed, and its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dynsweep.config.dataset import DATASETS, DatasetConfig
from dynsweep.config.engine import EngineConfig
from dynsweep.config.loss import LossConfig
from dynsweep.config.model import MODELS, ModelConfig
from dynsweep.config.observe import NTKConfig, ObserveConfig, SharpnessConfig
from dynsweep.config.optimizer import OptimizerConfig, ScheduleConfig
from dynsweep.config.ranges import at_least, one_of
from dynsweep.errors import ConfigError, no_such

PRECISIONS = ("float32", "float64", "tf32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
OBJECTIVES = ("train_accuracy", "validation_accuracy", "train_loss", "validation_loss")

# The settings that decide the result.
SCIENCE = ("dataset", "model", "loss", "optimizer", "steps", "epochs", "seed", "precision")


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
    epochs: int | None = None
    seed: int = 0
    precision: str = "float32"
    device: str = "auto"
    save_weights: bool = True
    checkpoint_minutes: float = 5.0
    retry_failed: bool = True
    report: bool = True
    objective: str = "validation_accuracy"

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        for part in (self.dataset, self.model, self.loss, self.optimizer):
            part.check()
        self.engine.check()
        self.observe.check()
        at_least("steps", self.steps, 0)
        if self.epochs is not None:
            at_least("epochs", self.epochs, 0)
        at_least("seed", self.seed, 0)
        one_of("precision", self.precision, PRECISIONS)
        one_of("device", self.device, DEVICES)
        at_least("checkpoint_minutes", self.checkpoint_minutes, 0)
        one_of("objective", self.objective, OBJECTIVES)

    def science(self) -> dict[str, Any]:
        """The settings that decide the result: what identifies a run, as a nested dict."""
        plain = asdict(self)
        return {key: plain[key] for key in SCIENCE} | {"dataset": self.dataset.science()}

    @property
    def dtype(self) -> str:
        """The type of weights and sums; ``tf32`` and ``bfloat16`` only speed up products."""
        return "float64" if self.precision == "float64" else "float32"

    def identity(self) -> str:
        """A stable name of the run: equal settings give equal names, on any machine."""
        text = json.dumps(self.science(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


# Settings of a group that are groups themselves.
INNER: dict[str, dict[str, type]] = {
    "optimizer": {"schedule": ScheduleConfig},
    "observe": {"sharpness": SharpnessConfig, "ntk": NTKConfig},
}


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
    for name, inner in INNER.items():
        for key, kind in inner.items():
            setattr(parts[name], key, _build(kind, getattr(parts[name], key), f"{name}.{key}."))
    schedule = parts["optimizer"].schedule
    schedule.milestones = tuple(schedule.milestones)
    config: RunConfig = _build(RunConfig, {**settings, **parts}, "")
    config.check()
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
        return kind(**(settings if isinstance(settings, Mapping) else vars(settings)))
    except TypeError:
        known = [one.name for one in fields(kind)]
        for name in settings:
            if name not in known:
                raise ConfigError(prefix + name, settings[name], no_such(name, known)) from None
        raise


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
