"""Records without checksums, of versions before: whether they can be what dynsweep wrote."""

import math
from collections.abc import Mapping
from typing import Any

from dynsweep.config.run import settings_of
from dynsweep.store.records import METRICS, STATUSES

UNSEALED = 2  # the last format without checksums


def head_fault(head: Any) -> bool:
    """Whether what a batch shares is not as it was written."""
    if not isinstance(head, dict) or not isinstance(head.get("config"), dict):
        return True
    others = {name: value for name, value in head.items() if name != "config"}
    written = head.get("format", 1) in range(1, UNSEALED + 1)
    if not written or not all(map(_plain, others.values())):
        return True
    return _config_fault(head["config"], head["config"])


def fault(entry: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
    """Whether a record is not as it was written; ``head`` is what its batch shares."""
    config, overrides = entry.get("config"), entry.get("overrides")
    others = [value for name, value in entry.items() if name not in ("config", "overrides")]
    if not isinstance(config, dict) or not isinstance(overrides, list):
        return True
    names = ("dataset.name", "model.name")
    whole = {name: config.get(name, head["config"].get(name)) for name in names}
    named = all(isinstance(value, str) for value in whole.values())
    numbers = [entry[name] for name in METRICS if entry.get(name) is not None]
    return not (
        named
        and all(map(_plain, others))
        and isinstance(entry.get("id"), str)
        and type(entry.get("number")) is int
        and all(isinstance(one, str) for one in overrides)
        and entry.get("status") in STATUSES
        and _number(entry.get("seconds"))
        and all(map(_number, numbers))
        and all(isinstance({**head, **entry}.get(n, ""), str) for n in ("weights", "trajectory"))
        and not _config_fault(config, whole)
    )


def _config_fault(config: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    names = (whole.get("dataset.name"), whole.get("model.name"))
    if not all(name is None or isinstance(name, str) for name in names):
        return True
    declarations = settings_of(*names)
    for name, value in config.items():
        items = value if isinstance(value, list) else [value]
        if not all(map(_plain, items)):
            return True
        declaration = declarations.get(name)
        default = None if declaration is None else declaration.default
        if type(default) in (int, float) and value is not None and not _number(value):
            return True
    return False


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or _number(value)


def _number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))
