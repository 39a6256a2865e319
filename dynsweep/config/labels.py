"""How settings, numbers and durations are written for people."""

from __future__ import annotations

from typing import Any

# Words for settings: on axes, and in titles.
AXES = {
    "period": "period T (steps)",
    "amplitude": "amplitude A",
    "lr": "learning rate",
    "width": "width (hidden units)",
    "seed": "seed",
    "steps": "training length (steps)",
    "dataset.noise": "noise of the angle (radians)",
    "dataset.samples_per_class": "training samples per class",
    "dataset.revolutions": "revolutions of the spirals",
    "dataset.classes": "number of classes C",
    "model.init": "initialisation",
}
WORDS = {"period": "T", "amplitude": "A"}
METRICS = {
    "train_accuracy": "training accuracy",
    "validation_accuracy": "validation accuracy",
    "train_loss": "training loss",
    "validation_loss": "validation loss",
}


def axis_label(name: str, model: Any = "mlp") -> str:
    """Axis label of a setting, with its unit."""
    if name == "width" and model != "mlp":
        return "width (channels)"
    return AXES.get(name, name.rpartition(".")[2].replace("_", " "))


def assignment(name: str, value: Any, sign: str = " = ") -> str:
    """A setting and its value, as in ``width = 100``."""
    return f"{WORDS.get(name, name.rpartition('.')[2].replace('_', ' '))}{sign}{number(value)}"


def number(value: Any) -> str:
    """A setting's value as short text: 0.05, 1, 35,000, glorot."""
    if value is None or value != value:
        return "none"
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return str(value)
    value = float(value)
    if value == round(value) and abs(value) < 1e9:
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"
    return f"{value:.3g}"


def seeds_text(counts: Any) -> str:
    """``3 seeds``, or ``1 to 3 seeds`` where cells differ."""
    low, high = int(min(counts)), int(max(counts))
    if low == high:
        return f"{high} seed" + "s" * (high != 1)
    return f"{low} to {high} seeds"


def duration(seconds: float) -> str:
    """A duration as people say it: ``48 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds == float("inf"):
        return "unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
