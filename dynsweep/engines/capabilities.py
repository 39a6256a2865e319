"""What engines can train: closed lists of settings, so that a new one is never ignored.

An engine lists the settings that may differ from their defaults. What is not listed decides a
result in a way that the engine knows nothing of, and the run goes to another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from dynsweep.config import RunConfig
from dynsweep.settings import Setting, declared

GROUPS = tuple(one.name for one in fields(RunConfig) if is_dataclass(one.default_factory))
NAMES = ("model.name", "dataset.name")  # defaults of their own groups: no engine has them unasked


class _Any(Collection[Any]):
    """Every value."""

    def __contains__(self, value: object) -> bool:
        return True

    def __iter__(self) -> Any:
        raise TypeError("every value is allowed")

    __len__ = __iter__


ANY = _Any()
# By dotted setting, or group as in ``model.*``, or ``*``: the values that an engine can train.
Capabilities = Mapping[str, Collection[Any]]

EVERYTHING: Capabilities = {"*": ANY}

# What only decides the tables of class weights and learning rates is the same to every engine.
TABLES: Capabilities = dict.fromkeys(
    [
        "loss.period", "loss.amplitude", "loss.last_period_static", "loss.static_end",
        "loss.counting", "loss.shape", "optimizer.lr", "optimizer.schedule.*", "steps",
        "epochs", "seed",
    ],
    ANY,
)  # fmt: skip

# Full-batch gradient descent on points with one hidden layer: the fast engines.
SIMPLE: Capabilities = {
    **TABLES,
    "dataset.name": ["spirals"],
    "dataset.classes": ANY,
    "dataset.samples_per_class": ANY,
    "dataset.validation_samples_per_class": ANY,
    "dataset.noise": ANY,
    "dataset.revolutions": ANY,
    "dataset.seed": ANY,
    "model.name": ["mlp"],
    "model.width": ANY,
    "model.init": ANY,
    "model.bias": ANY,
    "precision": ["float32", "float64"],
}


def allowed(capabilities: Capabilities, setting: Setting) -> Collection[Any]:
    """The values of a setting that an engine can train."""
    if not setting.identity:
        return ANY
    for name in (setting.name, f"{setting.name.rpartition('.')[0]}.*", "*"):
        if name in capabilities:
            return capabilities[name]
    return [] if setting.name in NAMES else [setting.default]


def declarations(run: RunConfig) -> dict[str, Setting]:
    """The settings of a run by dotted name, those of its own dataset and model among them."""
    return declarations_of(kinds(run))


def kinds(run: RunConfig) -> tuple[type, ...]:
    """The classes that declare a run's settings: its own, and its groups'."""
    return (type(run), *map(type, _groups(run)))


@cache
def declarations_of(kinds: tuple[type, ...]) -> dict[str, Setting]:
    """As :func:`declarations`, for all runs of these classes."""
    whole = {k: v for k, v in declared(kinds[0]).items() if k.partition(".")[0] not in GROUPS}
    for name, kind in zip(GROUPS, kinds[1:], strict=True):
        whole |= declared(kind, f"{name}.")
    return whole


def unlisted(capabilities: Capabilities, run: RunConfig) -> str | None:
    """In a line, the first setting of ``run`` that an engine cannot train; ``None``: it can."""
    settings = declarations(run)
    for name in (*NAMES, *settings):
        values, value = allowed(capabilities, settings[name]), attrgetter(name)(run)
        if value not in values:
            shown = name.removesuffix(".name") if name in NAMES else name
            other = f"{shown}={value}" if name in NAMES else _text(value)
            return f"trains with {shown}={' or '.join(map(_text, values))}, not {other}"
    return None


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


_groups = attrgetter(*GROUPS)
