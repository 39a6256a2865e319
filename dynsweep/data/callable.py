"""Data that a Python function makes, which stands in a file of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dynsweep.data.base import Dataset
from dynsweep.data.cifar10 import statistics
from dynsweep.data.own import OwnConfig, facts
from dynsweep.errors import ConfigError
from dynsweep.lazy import np
from dynsweep.own import NONE, Code, Settings, find, raised
from dynsweep.settings import check, follows, replaced, setting

TARGET = "dataset._target_"


@dataclass(unsafe_hash=True)
class OwnDatasetConfig(OwnConfig):
    """What ``_target_(**settings)`` returns: training inputs and labels, validation inputs and
    labels."""

    name: str = setting("own", short="dataset")
    _target_: str = setting("", "the function, as in module.function")
    settings: dict[str, Any] = setting(NONE, "its arguments")  # noqa: RUF009
    folder: str = follows("", "from which its module is imported", place=True)

    def resolved(self) -> OwnDatasetConfig:
        check(self, "dataset.")
        return _resolved(self, find(TARGET, self._target_))

    def load(self) -> Dataset:
        code = find(TARGET, self._target_, self.folder, self.content)
        return _made(self._target_, Settings(self.settings), code)


@lru_cache(maxsize=64)
def _resolved(config: OwnDatasetConfig, code: Code) -> OwnDatasetConfig:
    """The same object each time: the runs of a grid share it."""
    data = _made(config._target_, Settings(config.settings), code)
    title = config.title or config._target_.rpartition(".")[2]
    found = {"title": title, "content": code.digest, "folder": code.folder}
    return replaced(config, found | facts(data))


@lru_cache(maxsize=4)
def _made(target: str, settings: Settings, code: Code) -> Dataset:
    try:
        made = code.call(**settings)
    except Exception as error:
        raise ConfigError(TARGET, target, raised(error)) from None
    if isinstance(made, Dataset):
        return made
    try:
        train, labels, validation, validation_labels = (np.asarray(array) for array in made)
    except (TypeError, ValueError):
        allowed = "must return training inputs and labels, validation inputs and labels: 4 arrays"
        raise ConfigError(TARGET, target, allowed) from None
    for part, inputs, classes in (
        ("training", train, labels), ("validation", validation, validation_labels),
    ):  # fmt: skip
        if problem := _problem(inputs, classes, train):
            raise ConfigError(TARGET, target, f"its {part} set: {problem}")
    count = int(max(labels.max(), validation_labels.max())) + 1
    if len(absent := np.setdiff1d(np.arange(max(count, 2)), labels)):
        text = f"class {absent[0]} of {max(count, 2)} has no training samples"
        raise ConfigError(TARGET, target, text)
    images = train.ndim == 4
    mean, std = statistics(train) if images else (None, None)
    kind: Any = np.uint8 if images else np.float64
    return Dataset(
        train.astype(kind), labels.astype(np.int64), validation.astype(kind),
        validation_labels.astype(np.int64), classes=count, mean=mean, std=std,
    )  # fmt: skip


def _problem(inputs: Any, labels: Any, train: Any) -> str:
    """What is wrong with a part, in words."""
    points = inputs.ndim == 2 and inputs.dtype.kind in "fiub"
    if not points and not (inputs.ndim == 4 and inputs.dtype == np.uint8):
        shape = f"{inputs.dtype} {inputs.shape}"
        return f"inputs must be numbers (samples, inputs) or bytes (samples, c, h, w), not {shape}"
    if inputs.shape[1:] != train.shape[1:] or not inputs.size:
        return f"samples have the shape {inputs.shape[1:]}, those of training {train.shape[1:]}"
    if labels.shape != inputs.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
        return (
            f"labels must be {len(inputs)} whole numbers from 0, not {labels.dtype} {labels.shape}"
        )
    if points and not np.isfinite(inputs).all():
        return "inputs must be finite"
    return ""
