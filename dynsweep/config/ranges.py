"""Ranges that Hydra's types cannot check; each tells in one line what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dynsweep.errors import ConfigError


def at_least(setting: str, value: float, least: float) -> None:
    """A finite number, ``least`` or more."""
    if not (math.isfinite(value) and value >= least):
        raise ConfigError(setting, value, f"must be a finite number, at least {least}")


def above_zero(setting: str, value: float) -> None:
    """A finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(setting, value, "must be a finite number above 0")


def finite(setting: str, value: float) -> None:
    """Any finite number."""
    if not math.isfinite(value):
        raise ConfigError(setting, value, "must be a finite number")


def one_of(setting: str, value: str, allowed: Sequence[str]) -> None:
    """One of a list of names."""
    if value not in allowed:
        raise ConfigError(setting, value, f"must be one of {', '.join(allowed)}")
