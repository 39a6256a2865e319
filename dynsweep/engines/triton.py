"""The CUDA engine of the one-hidden-layer model: a run per program, weights in registers.

The first run of a geometry waits 5 to 15 s for the compiler; Triton caches.
"""

import importlib.metadata
import importlib.util
import math
import os
import shutil
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines.base import SIMPLE, Engine, Session, hidden_units, named_weights, unlisted
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_memory
from dynsweep.engines.work import measuring

REGISTERS = 255  # 32-bit registers of a thread
MOST_WARPS = 8  # per run; at 255 registers a multiprocessor holds no more


@dataclass(frozen=True)
class Geometry:
    """How a run is dealt to threads: the compile-time constants of the kernels.

    A run has ``unit_warps`` warps; a warp works on ``samples`` samples at a time, with ``lanes``
    threads for each; a thread holds ``units`` hidden units.
    """

    units: int
    unit_warps: int
    lanes: int
    samples: int

    @property
    def width(self) -> int:
        """Hidden units that there is room for; those above the model's width stay 0."""
        return self.units * self.unit_warps * self.lanes

    def constants(self) -> dict[str, int]:
        return {name.upper(): value for name, value in asdict(self).items()}


def most_units(inputs: int, classes: int, precision: str) -> int:
    """Hidden units whose weights, gradients and activation fit into a thread's registers."""
    words = 1 if precision == "float32" else 2
    others = 32 + 4 * classes * words  # addresses; logits, their gradients, output biases
    return (REGISTERS - others) // (words * (2 * (inputs + 1 + classes) + 1))


def geometry(width: int, inputs: int, classes: int, precision: str) -> Geometry | None:
    """The fewest threads whose registers hold ``width`` hidden units; ``None``: too many."""
    most = most_units(inputs, classes, precision)
    threads = 8  # with fewer, the weights would be copied to more than 4 samples of a warp
    while threads * most < width:
        threads *= 2
        if most < 1 or threads > 32 * MOST_WARPS:
            return None
    lanes = min(threads, 32)
    return Geometry(-(-width // threads), threads // lanes, lanes, 32 // lanes)


class TritonSession(Session):
    """Training of one batch with the Triton kernel.

    Every table of steps is a launch. Between launches the weights rest in global memory,
    unchanged, so that the cuts change no bit.
    """

    def __init__(self, batch: Batch, device: str) -> None:
        from dynsweep.engines import triton_kernel

        super().__init__(batch, device)
        data, run = batch.dataset, batch.first
        self.inputs, count = data.train_inputs.shape[1], len(data.train_labels)
        shape = geometry(run.model.width, self.inputs, data.classes, run.precision)
        if shape is None or not isinstance(run.model, MLPConfig):
            raise ValueError("this engine has an obstacle to the batch; ask it first")
        self.kernel: Any = triton_kernel.train
        self.width, self.bias = run.model.width, run.model.bias
        self.options = {
            **shape.constants(),
            "INPUTS": self.inputs,
            "CLASSES": data.classes,
            "BIAS": self.bias,
            "num_warps": shape.unit_warps,
            "num_stages": 1,
            "enable_fp_fusion": False,
        }
        # Samples (inputs, samples) in whole tiles, padded with label -1.
        self.share, extra = 1 / count, -count % shape.samples
        points, labels = torch.as_tensor(data.train_inputs).T, torch.as_tensor(data.train_labels)
        self.points = pad(points, (0, extra)).contiguous().to(self.device, self.dtype)
        self.labels = pad(labels.int(), (0, extra), value=-1).to(self.device)
        self.tiles = len(self.labels) // shape.samples

        units, output_bias = hidden_units(batch)
        units = pad(units, (0, shape.width - self.width))
        self.hidden = units.to(self.device, self.dtype).contiguous()
        self.output_bias = output_bias.to(self.device, self.dtype).contiguous()

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        with torch.cuda.device(self.hidden.get_device()):
            self.kernel[(self.runs,)](
                self.hidden,
                self.output_bias,
                rates.contiguous(),
                (class_weights * self.share).contiguous(),
                self.points,
                self.labels,
                len(rates),
                self.tiles,
                self.runs,
                **self.options,
            )
            if self.device.type == "cuda":  # else the driver would measure, and pile up, launches
                torch.cuda.synchronize()
        self.step += len(rates)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        units, output_bias = self.state().values()
        return named_weights(units[..., : self.width], output_bias, self.inputs, self.bias)

    def tensors(self) -> dict[str, Tensor]:
        return {"hidden": self.hidden, "output_bias": self.output_bias}


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


class TritonEngine(Engine):
    """The one-hidden-layer model on CUDA, float32 and float64."""

    name = "triton"
    trains = SIMPLE
    session = TritonSession

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if not (device.startswith("cuda") or interpreted()):
            return "needs device=cuda"
        if (other := triton_missing() or unlisted(self.trains, run)) is not None:
            return other
        data = load(run.dataset)
        if len(data.shape) != 1:
            return "trains on points, not on images"
        shape = (math.prod(data.shape), data.classes, run.precision)
        if geometry(run.model.width, *shape) is None:
            most = 32 * MOST_WARPS * max(0, most_units(*shape))
            return f"holds at most {most} hidden units of {shape[1]} classes in {shape[2]}"
        return None

    def batch_size(self, run: RunConfig, device: str) -> int:
        # Kilobytes a run, but where PyTorch measures it; more than a wave or two gain nothing.
        free = available_memory(device) // 2 if device.startswith("cuda") else math.inf
        return max(1, int(min(4096, free // max(1, measuring(run)))))
