"""NumPy and PyTorch, imported when they are first used.

A dataset and a model are one file each, settings and arrays together. The settings are needed at
every TAB in a shell, for which PyTorch takes seven times too long.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
else:

    class _Lazy(ModuleType):
        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self.__name__), name)

    np, torch = _Lazy("numpy"), _Lazy("torch")
    Tensor = Any  # for annotations

__all__ = ["Tensor", "np", "torch"]
