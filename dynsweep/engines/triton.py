"""The CUDA engine of the one-hidden-layer model: a run per program, weights in registers.

What a step costs, counted and not measured: a pair of sample and hidden unit takes 17
instructions at 2 inputs and 3 classes (13 multiply-adds among them), so a 50 x 50 grid of 35,000
steps at H = 100 and 300 samples takes 4.5e13 of them, 1.5 s on the 132 x 128 lanes of an H100 at
1.7 GHz. The compiled loop has 306 instructions for 4 samples x 104 units per warp (softmax,
shuffles and loads included), a step about 23,600: 2.3 s if every slot issued. Two or three times
that is to be expected, since 216 registers a thread leave 9 warps to a multiprocessor. At
H = 1000 (two warps a run, 393 instructions a warp for one sample) the like count is 0.26 us per
run and step. The first run of a geometry also waits 5 to 15 s for the compiler; Triton caches.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from typing import TYPE_CHECKING

from dynsweep.config import MLPConfig, RunConfig, SpiralsConfig
from dynsweep.engines.base import beyond_plain
from dynsweep.engines.batches import Batch
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

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if not (device.startswith("cuda") or interpreted()):
            return "needs device=cuda"
        missing = triton_missing()
        if missing is not None:
            return missing
        if not (isinstance(run.model, MLPConfig) and isinstance(run.dataset, SpiralsConfig)):
            return "trains model=mlp on dataset=spirals"
        if (beyond := beyond_plain(run)) is not None:
            return beyond
        shape = (2, run.dataset.classes, run.precision)
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
