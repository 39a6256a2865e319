"""What engines can train: closed lists of settings, so that a new one is never ignored.

An engine lists the settings that may differ from their defaults. What is not listed decides a
result in a way that the engine knows nothing of, and the run goes to another.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from dynsweep.config import RunConfig, Setting
from dynsweep.config.run import settings_of

NAMES = ("model.name", "dataset.name")  # defaults of their own groups: no engine has them unasked
ANY = None
# By dotted setting, or group as in ``model.*``, or ``*``: the values that an engine can train.
Capabilities = Mapping[str, Sequence[Any] | None]

EVERYTHING: Capabilities = {"*": ANY}

# What only decides the tables of class weights and learning rates is the same to every engine.
TABLES: Capabilities = dict.fromkeys(
    [
        "loss.period", "loss.amplitude", "loss.shape", "loss.last_period_static",
        "loss.static_end", "loss.counting", "optimizer.lr", "optimizer.schedule.*",
        "steps", "epochs", "seed",
    ],
    ANY,
)  # fmt: skip

# Full-batch gradient descent on points with one hidden layer: the fast engines.
SIMPLE: Capabilities = {
    **TABLES,
    "model.name": ["mlp"],
    **dict.fromkeys(["model.width", "model.init", "model.bias"], ANY),
    "dataset.name": ["spirals"],
    **dict.fromkeys(
        [
            "dataset.classes", "dataset.samples_per_class", "dataset.validation_samples_per_class",
            "dataset.noise", "dataset.revolutions", "dataset.seed",
        ],
        ANY,
    ),
    "precision": ["float32", "float64"],
}  # fmt: skip


def allowed(capabilities: Capabilities, setting: Setting) -> Sequence[Any] | None:
    """The values of a setting that an engine can train; ``ANY`` if all."""
    if not setting.identity:
        return ANY
    for name in (setting.name, f"{setting.name.rpartition('.')[0]}.*", "*"):
        if name in capabilities:
            return capabilities[name]
    return [] if setting.name in NAMES else [setting.default]


def unlisted(capabilities: Capabilities, run: RunConfig) -> str | None:
    """In a line, the first setting of ``run`` that an engine cannot train; ``None``: it can."""
    settings = settings_of(run.dataset.name, run.model.name)
    for name in (*NAMES, *settings):
        values, value = allowed(capabilities, settings[name]), attrgetter(name)(run)
        if values is not ANY and value not in values:
            shown = name.removesuffix(".name") if name in NAMES else name
            can, cannot = " or ".join(map(_text, values)), _text(value)
            return f"trains with {shown}={can}, not {f'{shown}=' * (name in NAMES)}{cannot}"
    return None


def _text(value: Any) -> str:
    return "null" if value is None else str(value)
