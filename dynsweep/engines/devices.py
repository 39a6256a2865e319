"""Where to compute: the device that a setting means here, the threads and memory we may use."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.errors import ConfigError


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
    """PyTorch's threads, TF32 and memory as ``run`` wants them, and afterwards as they were."""
    threads = torch.get_num_threads()
    switches: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [switch.allow_tf32 for switch in switches]
    deterministic = torch.backends.cudnn.deterministic
    # The simple model's matrices are so small that threads cost more than they bring.
    small = isinstance(run.model, MLPConfig)
    try:
        if device.startswith("cuda"):
            for switch in switches:
                switch.allow_tf32 = run.precision == "tf32"
            # Else a training that goes on from a checkpoint would not be the same to the bit.
            torch.backends.cudnn.deterministic = True
        else:
            torch.set_num_threads(run.engine.threads or (1 if small else available_threads()))
        with nullcontext() if device.startswith("cuda") else memory_kept():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


SHARERS = "DYNSWEEP_WORKERS_OF_GPU"  # in the environment of workers that share one

# Options of glibc's mallopt, and what they are by themselves where large blocks come and go.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
KEEP = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0}
USUAL = {TRIM_THRESHOLD: 2**26, MMAP_THRESHOLD: 2**25, MMAP_MAX: 2**16}


@contextmanager
def memory_kept() -> Iterator[None]:
    """What is freed stays with the process until the end.

    The GNU allocator gives blocks of 32 MB and more back to the system at once; every step would
    get its activations as new pages of zeros, which is half of a convolutional network's time.
    """
    library: Any = ctypes.CDLL(None) if os.name == "posix" else None
    if not hasattr(library, "malloc_trim"):  # another allocator
        yield
        return
    for option, value in KEEP.items():
        library.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in USUAL.items():
            library.mallopt(option, value)
        library.malloc_trim(0)


def available_threads() -> int:
    """CPU threads that this process may use: its affinity, within its cgroup's quota, what
    Slurm gave to the task, and ``OMP_NUM_THREADS``."""
    affinity = getattr(os, "sched_getaffinity", None)
    limits = [
        len(affinity(0)) if affinity else os.cpu_count(),
        *(max(1, quota // period) for quota, period in _cgroup("cpu.max")),
        _variable("OMP_NUM_THREADS"),
        # Not every cluster binds tasks to their CPUs: ask what the task was given.
        _variable("SLURM_CPUS_PER_TASK") or _variable("SLURM_CPUS_ON_NODE"),
    ]
    return min((limit for limit in limits if limit), default=1)


def available_memory(device: str) -> int:
    """Bytes that this process may still take on ``device``; on the CPU what is free or holds but
    copies of files, at most what its cgroup and Slurm leave it. On a GPU what is free, or PyTorch
    has but does not use, at most an even share with the other workers there."""
    if device.startswith("cuda"):
        free, whole = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(min(free + cached, whole // (_variable(SHARERS) or 1)))
    limits = [_field("/proc/meminfo", "MemAvailable:") * 1024 or _free_pages()]
    files = _field("/sys/fs/cgroup/memory.stat", "inactive_file")
    limits += [
        max(0, most - used + files) for most, used in _cgroup("memory.max", "memory.current")
    ]
    # Not every cluster limits memory; one that counts it kills who takes more.
    each = _variable("SLURM_MEM_PER_CPU") * (_variable("SLURM_CPUS_ON_NODE") or 1)
    if megabytes := _variable("SLURM_MEM_PER_NODE") or each:
        limits.append(megabytes * 2**20)
    return min(limits)


def _cgroup(*files: str) -> list[tuple[int, int]]:
    """The two numbers in these files of the process's cgroup; none where it has no limit."""
    try:
        words = " ".join((Path("/sys/fs/cgroup") / file).read_text() for file in files).split()
        first, second = map(int, words)  # "max" where there is none
    except (OSError, ValueError):
        return []
    return [(first, second)]


def _field(path: str, name: str) -> int:
    """The number after ``name`` in a file of the system; 0 if there is none."""
    try:
        words = Path(path).read_text().split()
        return int(words[words.index(name) + 1])
    except (OSError, ValueError, IndexError):
        return 0


def _free_pages() -> int:
    """Bytes that are free, where the system has no better figure; half of all on macOS, which
    does not tell."""
    known = "SC_AVPHYS_PAGES" in os.sysconf_names
    pages = os.sysconf("SC_AVPHYS_PAGES") if known else os.sysconf("SC_PHYS_PAGES") // 2
    return pages * os.sysconf("SC_PAGE_SIZE")


def _variable(name: str) -> int:
    """A whole number in the environment; 0 if there is none."""
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else 0
