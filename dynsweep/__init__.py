"""dynsweep: hyperparameter sweeps of dynamical loss functions, many runs in one batch.

In a notebook, :func:`sweep` trains a grid and :func:`train` one run; :func:`load` reads what
sweeps recorded and :func:`phase_diagram` draws it; :func:`load_weights`, :func:`load_snapshots`
and :func:`load_trajectory` read more of a run.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dynsweep.errors import ConfigError, DynsweepError

if TYPE_CHECKING:
    from dynsweep.api import (
        load,
        load_snapshots,
        load_trajectory,
        load_weights,
        phase_diagram,
    )
    from dynsweep.interactive import sweep, train

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "DynsweepError",
    "__version__",
    "load",
    "load_snapshots",
    "load_trajectory",
    "load_weights",
    "phase_diagram",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    """The functions for notebooks, imported when asked for: pandas takes half a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "interactive" if name in ("sweep", "train") else "api"
    return getattr(import_module(f"dynsweep.{home}"), name)


class _Package(ModuleType):
    """``dynsweep.sweep`` is the function, also when a module of the folder ``sweep`` was imported,
    which then would take its place."""

    @property
    def sweep(self) -> Any:
        return __getattr__("sweep")

    @sweep.setter
    def sweep(self, folder: ModuleType) -> None:
        pass


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return __all__
