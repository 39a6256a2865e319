"""One run: its typed settings, its identity, and its place in a sweep."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dynsweep.config.groups import EngineConfig, LossConfig, ObserveConfig, OptimizerConfig, place
from dynsweep.data import DATASETS, DatasetConfig
from dynsweep.errors import ConfigError
from dynsweep.metrics import COLUMNS
from dynsweep.models import MODELS, ModelConfig
from dynsweep.settings import Setting, check, declared, flatten, replaced, setting

# Goes into every identity; to be raised when equal settings come to mean another result.
RULE = 2


@dataclass(unsafe_hash=True)
class RunConfig:
    """Everything that decides one run, and where and how it is computed."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    steps: int = setting(35000, "minimisation steps", least=0, label="training length (steps)")
    epochs: int | None = setting(None, "passes over the data, in place of steps", least=0)
    seed: int = setting(
        0,
        "initial weights; sweep it for repeats: seed=range(0,5)",
        least=0,
        short="seed",
        label="seed",
        batched=True,
    )
    precision: str = setting(
        "float32",
        "on CUDA also tf32 and bfloat16, which speed up products",
        choices=("float32", "float64", "tf32", "bfloat16"),
    )
    device: str = place(
        "auto", "auto takes CUDA where there is a GPU", choices=("auto", "cpu", "cuda")
    )
    save_weights: bool = place(True, "keep final weights (decision regions need them)")
    checkpoint_minutes: float = place(5.0, "a batch saves its state so often", least=0)
    retry_failed: bool = place(True, "train runs again that were recorded as failed")
    report: bool = place(True, "a multirun ends with the page report.html")
    objective: str = place(
        "validation_accuracy", "what an optimising sweeper sees", choices=COLUMNS
    )

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        check(self)

    @property
    def dtype(self) -> str:
        """The type of weights and sums; ``tf32`` and ``bfloat16`` only speed up products."""
        return "float64" if self.precision == "float64" else "float32"

    def identity(self) -> str:
        """A stable name of the run: equal results have equal names, on any machine."""
        return identity(flatten(self))


@dataclass(frozen=True)
class Run:
    """One point of the grid.

    Attributes:
        number: in the multirun.
        overrides: as typed, one ``key=value`` each.
        settings: typed and checked.
    """

    number: int
    overrides: list[str]
    settings: RunConfig


def from_flat(flat: Mapping[str, Any]) -> RunConfig:
    """The typed settings of plain ones: the inverse of :func:`flatten`. Others have defaults.

    Raises:
        ConfigError: there is no such dataset, model or setting.
    """
    return replaced(_template(flat.get("dataset.name"), flat.get("model.name")), flat)


@cache
def _template(dataset: str | None, model: str | None) -> RunConfig:
    for name, value, allowed in (("dataset", dataset, DATASETS), ("model", model, MODELS)):
        if value not in allowed:
            words = f"must be one of {', '.join(allowed)}"
            raise ConfigError(f"{name}.name", "???" if value is None else value, words)
    return RunConfig(dataset=DATASETS[str(dataset)](), model=MODELS[str(model)]())


def identity(flat: Mapping[str, Any]) -> str:
    """The identity of a run with these settings, as they are composed or recorded.

    Of the settings that decide the result it holds those that differ from the defaults of their
    groups. One that is added to a group later, with a default that changes nothing, leaves the
    runs of old sweeps what they were.
    """
    return digest(distinguishing(flat, flat))


def distinguishing(flat: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings ``flat`` that tell their run from others.

    Args:
        flat: some settings, or all.
        whole: all that name the dataset and the model.
    """
    declarations = settings_of(whole.get("dataset.name"), whole.get("model.name"))
    kept: dict[str, Any] = {}
    for name, value in flat.items():
        declaration = declarations.get(name)
        if declaration is None:
            if not name.startswith(("engine.", "observe.")):
                kept[name] = value  # of another version: it may decide the result
        elif declaration.identity:
            if isinstance(declaration.default, float) and value is not None:
                value = float(value)
            default = declaration.default
            # Tuples are lists where they were recorded.
            default = list(default) if isinstance(default, tuple) else default
            if name in ("dataset.name", "model.name") or value != default:
                kept[name] = value
    return kept


def digest(kept: Mapping[str, Any]) -> str:
    """The name that distinguishing settings give a run."""
    text = json.dumps({"rule": RULE, **kept}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def settings_of(dataset: str | None, model: str | None) -> dict[str, Setting]:
    """The declarations of a run's settings, by dotted name, for one dataset and model."""
    whole = declared(RunConfig)
    for prefix, kinds, name in (("dataset.", DATASETS, dataset), ("model.", MODELS, model)):
        kind: Any = kinds.get(name or "")
        whole = whole | (declared(kind, prefix) if kind else {})
    return whole


# Those of all datasets and models; where two share a name, the first one's.
SETTINGS: dict[str, Setting] = {}
for _dataset, _model in itertools.product(DATASETS, MODELS):
    SETTINGS = settings_of(_dataset, _model) | SETTINGS
