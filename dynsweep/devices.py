"""Where to compute: the device that a setting means here, and the threads we may use."""

from __future__ import annotations

import os
from pathlib import Path

from dynsweep.errors import ConfigError


def resolve_device(setting: str) -> str:
    """``cpu`` or ``cuda`` for ``device=auto|cpu|cuda``.

    Raises:
        ConfigError: CUDA is asked for and PyTorch sees no GPU.
    """
    import torch

    available = torch.cuda.is_available()
    if setting == "cuda" and not available:
        raise ConfigError("device", "cuda", "PyTorch sees no CUDA GPU here; use device=cpu")
    if setting == "auto":
        return "cuda" if available else "cpu"
    return setting


def available_threads() -> int:
    """CPU threads that this process may use: its affinity, within its cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))


def available_memory(device: str) -> int:
    """Bytes that are free on ``device`` now."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
