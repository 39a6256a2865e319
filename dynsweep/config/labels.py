"""How settings, numbers and durations are written for people."""

from collections.abc import Iterable
from typing import Any

from dynsweep.config.run import SETTINGS, settings_of

COLUMNS = {setting.column: setting for setting in SETTINGS.values()}


def axis_label(column: str, model: str = "mlp") -> str:
    """Axis label of a setting, with its unit."""
    setting = COLUMNS.get(column)
    if setting is not None:
        setting = settings_of(None, model).get(setting.name, setting)
    return setting.label if setting and setting.label else _words(column)


def assignment(column: str, value: Any, sign: str = " = ") -> str:
    """A setting and its value, as in ``width = 100``."""
    setting = COLUMNS.get(column)
    symbol = setting.symbol if setting else ""
    return f"{symbol or _words(column)}{sign}{number(value)}"


def _words(column: str) -> str:
    """The last part of a dotted name, with its group where that alone would not tell."""
    *groups, last = column.split(".")
    if groups and last == "name":
        return groups[-1]
    if groups[1:] == ["settings"]:  # of a callable from outside
        return last.replace("_", " ")
    inner = len(groups) > 1 or (groups and last in COLUMNS)
    return (f"{groups[-1]} {last}" if inner else last).replace("_", " ")


def number(value: Any) -> str:
    """A setting's value as short text: 0.05, 1, 35,000, glorot, true; null is none."""
    if str(value) in ("None", "nan", "<NA>"):
        return "none"
    if str(value) in ("True", "False"):  # Python's or NumPy's
        return str(value).lower()
    if not hasattr(value, "__float__"):
        return str(value)
    value = float(value)
    if value == round(value) and abs(value) < 1e9:
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"
    return f"{value:.3g}"


def listed(values: Iterable[Any]) -> str:
    """A list as a setting's value in tables: ``[0.5, 0.75]``, ``[height, weight]``."""
    return f"[{', '.join(map(str, values))}]"


def seeds_text(counts: Any) -> str:
    """``3 seeds``, or ``1 to 3 seeds`` where cells differ."""
    low, high = int(min(counts)), int(max(counts))
    if low == high:
        return f"{high} seed" + "s" * (high != 1)
    return f"{low} to {high} seeds"


def speed(rate: float) -> str:
    """How fast runs end, from their number in a second: ``12.3 runs/s``, ``2.76 s/run``."""
    if not rate:
        return "? runs/s"
    if rate >= 1:
        return f"{rate:.3g} runs/s" if rate < 1000 else f"{rate:,.0f} runs/s"
    return f"{1 / rate:.3g} s/run" if rate > 0.001 else f"{duration(1 / rate)}/run"


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
