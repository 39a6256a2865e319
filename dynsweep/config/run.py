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
from dynsweep.settings import Setting, check, declared, flatten, is_group, replaced, setting

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
    dry_run: bool = place(False, "tell what would be trained, and how long; train nothing")
    report: bool = place(True, "a multirun ends with the page report.html")
    objective: str = place(
        "validation_accuracy", "what an optimising sweeper sees", choices=COLUMNS
    )

    def check(self, checked: set[int] | None = None) -> None:
        """Raise :class:`ConfigError` for the first setting out of range; for ``checked`` see
        :func:`dynsweep.settings.check`."""
        check(self, checked=checked)

    @property
    def dtype(self) -> str:
        """The type of weights and sums; ``tf32`` and ``bfloat16`` only speed up products."""
        return "float64" if self.precision == "float64" else "float32"

    def identity(self) -> str:
        """A stable name of the run: equal results have equal names, on any machine."""
        names = {"dataset.name": self.dataset.name, "model.name": self.model.name}
        own = {name: value for name, value in self.__dict__.items() if not is_group(value)}
        kept = distinguishing(own, names)
        for name, value in self.__dict__.items():
            if is_group(value):
                kept |= _kept_of(value, f"{name}.", names)
        return digest(kept)


@dataclass(frozen=True, slots=True)  # there are millions
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


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_KEPT: dict[tuple[int, str], tuple[Any, dict[str, Any]]] = {}
_MOST_KEPT = 4096


def _kept_of(group: Any, prefix: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a group's settings that tell runs apart. The runs of a grid share most groups:
    what was found of one is kept, with the group itself, so that its ``id`` is no other's."""
    key = (id(group), "".join(names.values()))
    if key not in _KEPT:
        if len(_KEPT) >= _MOST_KEPT:
            _KEPT.clear()
        _KEPT[key] = group, distinguishing(flatten(group, prefix), names)
    return _KEPT[key][1]


def distinguishing(flat: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings ``flat`` that tell their run from others.

    Args:
        flat: some settings, or all.
        whole: all that name the dataset and the model.
    """
    defaults = _defaults(whole.get("dataset.name"), whole.get("model.name"))
    kept: dict[str, Any] = {}
    for name, value in flat.items():
        if name not in defaults:
            if not name.startswith(("engine.", "observe.")):
                kept[name] = value  # of another version: it may decide the result
            continue
        default = defaults[name]
        if default is not _PLACE and value != default:
            exact = isinstance(default, float) and isinstance(value, int)
            kept[name] = float(value) if exact else value
    return kept


_PLACE = object()


@cache
def _defaults(dataset: str | None, model: str | None) -> dict[str, Any]:
    """What a setting must differ from to tell runs apart; ``_PLACE`` if it does not decide."""
    defaults: dict[str, Any] = {}
    for name, one in settings_of(dataset, model).items():
        # Tuples are lists where they were recorded.
        default = list(one.default) if isinstance(one.default, tuple) else one.default
        named = name in ("dataset.name", "model.name")  # of every run, whatever the default
        defaults[name] = object() if named else default if one.identity else _PLACE
    return defaults


def digest(kept: Mapping[str, Any]) -> str:
    """The name that distinguishing settings give a run."""
    return hashlib.sha256(_encode({"rule": RULE, **kept}).encode()).hexdigest()[:16]


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
