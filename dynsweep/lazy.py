"""NumPy and PyTorch, imported when they are first used.

A dataset and a model are one file each, settings and arrays together. The settings are needed at
every TAB in a shell, for which PyTorch takes seven times too long.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
else:

    class _Lazy(ModuleType):
        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self.__name__), name)

    np, torch = _Lazy("numpy"), _Lazy("torch")

__all__ = ["np", "torch"]
