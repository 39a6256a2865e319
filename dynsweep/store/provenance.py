"""What runs were made with: the versions of what computes, and the processor."""

import platform
import re
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import dynsweep

# Numbers can depend on these.
PACKAGES = ("torch", "numpy", "numba", "triton")


@cache
def software() -> str:
    """Versions, like ``dynsweep 0.1.0, Python 3.11.7, torch 2.13.0``."""
    names = [name for name in PACKAGES if find_spec(name)]
    own = [f"dynsweep {dynsweep.__version__}", f"Python {platform.python_version()}"]
    return ", ".join([*own, *(f"{name} {version(name)}" for name in names)])


@cache
def hardware(device: str) -> str:
    """The processor behind ``device``, as it calls itself."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    facts = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*: (.+)", facts.read_text() if facts.exists() else "")
    return name[1].strip() if name else platform.processor() or platform.machine()
