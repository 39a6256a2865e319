"""The CUDA engine of the one-hidden-layer model: a run per program, weights in registers.

What a step costs, counted and not measured: a pair of sample and hidden unit takes 17
instructions at 2 inputs and 3 classes (13 multiply-adds among them). At H = 100 the compiled loop
has 306 instructions for 4 samples x 104 units per warp, and 216 registers a thread leave 8 warps
to a multiprocessor: about 3.3 s for a 50 x 50 grid of 35,000 steps on an H100. The first run of a
geometry also waits 5 to 15 s for the compiler; Triton caches.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

from dynsweep.config import RunConfig
from dynsweep.data import load
from dynsweep.engines.batches import Batch
from dynsweep.engines.capabilities import SIMPLE, unlisted
from dynsweep.engines.triton_geometry import MOST_WARPS, geometry, most_units

if TYPE_CHECKING:
    from dynsweep.engines.triton_session import TritonSession


def interpreted() -> bool:
    """Whether Triton runs kernels in its interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


def triton_missing() -> str | None:
    """What Triton lacks here, in one line; ``None`` if it can be used (3.3 brought tuples)."""
    if importlib.util.find_spec("triton") is None:
        return "needs the package triton, which comes with CUDA builds of PyTorch"
    try:
        version = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return None  # a nightly build goes by another name
    if tuple(map(int, version.split(".")[:2])) < (3, 3):
        return f"needs triton 3.3 or newer, not {version}"
    if not ("CC" in os.environ or shutil.which("gcc") or shutil.which("clang") or interpreted()):
        return "needs a C compiler (gcc or clang), with which Triton builds its launcher"
    return None


class TritonEngine:
    """The one-hidden-layer model on CUDA, float32 and float64."""

    name = "triton"
    trains = SIMPLE

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if not (device.startswith("cuda") or interpreted()):
            return "needs device=cuda"
        if (other := triton_missing() or unlisted(self.trains, run)) is not None:
            return other
        shape = (2, load(run.dataset).classes, run.precision)
        if geometry(run.model.width, *shape) is None:
            most = 32 * MOST_WARPS * max(0, most_units(*shape))
            return f"holds at most {most} hidden units of {shape[1]} classes in {shape[2]}"
        return None

    def batch_size(self, run: RunConfig, device: str) -> int:
        # Kilobytes a run: memory is no bound. More than a wave or two of programs gains nothing.
        return 4096

    def begin(self, batch: Batch, device: str) -> TritonSession:
        from dynsweep.engines.triton_session import TritonSession

        return TritonSession(batch, device)
