"""Where to compute: the device that a setting means here, and the threads we may use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.errors import ConfigError
from dynsweep.lazy import torch


def resolve_device(setting: str) -> str:
    """``cpu`` or ``cuda`` for ``device=auto|cpu|cuda``.

    Raises:
        ConfigError: CUDA is asked for and PyTorch sees no GPU.
    """
    available = torch.cuda.is_available()
    if setting == "cuda" and not available:
        raise ConfigError("device", "cuda", "PyTorch sees no CUDA GPU here; use device=cpu")
    if setting == "auto":
        return "cuda" if available else "cpu"
    return setting


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(one) for one in range(torch.cuda.device_count())]


@contextmanager
def torch_settings(run: RunConfig, device: str) -> Iterator[None]:
    """PyTorch's threads and TF32 as ``run`` wants them, and afterwards as they were."""
    threads = torch.get_num_threads()
    switches: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [switch.allow_tf32 for switch in switches]
    # The simple model's matrices are so small that threads cost more than they bring.
    small = isinstance(run.model, MLPConfig)
    try:
        if device.startswith("cuda"):
            for switch in switches:
                switch.allow_tf32 = run.precision == "tf32"
        else:
            torch.set_num_threads(run.engine.threads or (1 if small else available_threads()))
        yield
    finally:
        torch.set_num_threads(threads)
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


def available_threads() -> int:
    """CPU threads that this process may use: its affinity, within its cgroup's quota, what
    Slurm gave to the task, and ``OMP_NUM_THREADS``."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    limits = [_cgroup_threads(), _number("OMP_NUM_THREADS"), _slurm_threads()]
    return max(1, min([count, *(limit for limit in limits if limit)]))


def available_memory(device: str) -> int:
    """Bytes that this process may still take on ``device``; on the CPU what is free, at most
    what its cgroup and Slurm leave it."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [_cgroup_memory(), _slurm_memory()]
    return min([free, *(limit for limit in limits if limit is not None)])


def _cgroup_threads() -> int | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None


def _cgroup_memory() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())  # "max" where there is none
        return max(0, limit - int((folder / "memory.current").read_text()))
    except (OSError, ValueError):
        return None


def _slurm_threads() -> int | None:
    """Not every cluster binds tasks to their CPUs: ask what the task was given."""
    return _number("SLURM_CPUS_PER_TASK") or _number("SLURM_CPUS_ON_NODE")


def _slurm_memory() -> int | None:
    """Not every cluster limits memory; one that counts it kills who takes more."""
    whole, each = _number("SLURM_MEM_PER_NODE"), _number("SLURM_MEM_PER_CPU")
    if whole is None and each is not None:
        whole = each * (_number("SLURM_CPUS_ON_NODE") or 1)
    return whole and whole * 2**20


def _number(variable: str) -> int | None:
    """A positive whole number in the environment; ``None`` if there is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and int(text) > 0 else None
