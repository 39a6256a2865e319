"""dynsweep: hyperparameter sweeps of dynamical loss functions, many runs in one batch.

In a notebook, :func:`load` reads what sweeps recorded and :func:`phase_diagram` draws it;
:func:`load_weights`, :func:`load_snapshots` and :func:`load_trajectory` read more of a run.
"""

from __future__ import annotations

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
]


def __getattr__(name: str) -> Any:
    """The functions for notebooks, imported when asked for: pandas takes half a second."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dynsweep import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return __all__
