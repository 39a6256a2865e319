"""What runs were made with: the versions of what computes, and the processor."""

import platform
import re
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Numbers can depend on these.
PACKAGES = ("torch", "numpy", "numba", "triton")


@cache
def software() -> str:
    """Versions, like ``dynsweep 0.1.0, Python 3.11.7, torch 2.13.0``."""
    versions = [f"dynsweep {version('dynsweep')}", f"Python {platform.python_version()}"]
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    return ", ".join(versions)


@cache
def hardware(device: str) -> str:
    """The processor behind ``device``, as it calls itself."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    facts = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*: (.+)", facts.read_text() if facts.exists() else "")
    return name[1].strip() if name else platform.processor() or platform.machine()
