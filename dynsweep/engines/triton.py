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

    A run has ``unit_warps`` warps; a warp works on ``samples`` samples side by side, with
    ``lanes`` threads for each; a thread holds ``units`` hidden units, and works on ``together``
    samples at a time.
    """

    units: int
    unit_warps: int
    lanes: int
    samples: int
    together: int

    @property
    def width(self) -> int:
        """Hidden units that there is room for; those above the model's width stay 0."""
        return self.units * self.unit_warps * self.lanes

    def constants(self) -> dict[str, int]:
        return {name.upper(): value for name, value in asdict(self).items()}


def most_units(inputs: int, classes: int, precision: str, together: int = 1) -> int:
    """Hidden units whose weights, sums and activations fit into a thread's registers, where it
    works on so many samples at a time."""
    words = 1 if precision == "float32" else 2
    rows, differences = inputs + 1, classes - 1
    # Addresses and what is on its way (measured); of each sample its input, label, logits and
    # what they add to the sums; output biases, their sums, class weights.
    others = 49 + words * together * (rows + differences + rows * differences)
    others += words * 4 * differences
    each = rows + differences + rows * differences + together
    return (REGISTERS - others) // (words * each)


def geometry(width: int, inputs: int, classes: int, precision: str) -> Geometry | None:
    """The fewest threads whose registers hold ``width`` hidden units, and then the most samples
    at a time; ``None``: too many."""
    found: list[tuple[int, int]] = []
    for together in (2, 1):  # more gain nothing
        most = most_units(inputs, classes, precision, together)
        threads = 8  # with fewer, the weights would be copied to more than 4 samples of a warp
        while threads * most < width and threads <= 32 * MOST_WARPS and most > 0:
            threads *= 2
        if most > 0 and threads <= 32 * MOST_WARPS:
            found.append((threads, -together))
    if not found:
        return None
    threads, together = min(found)
    lanes = min(threads, 32)
    return Geometry(-(-width // threads), threads // lanes, lanes, 32 // lanes, -together)


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
        tile = shape.samples * shape.together
        self.share, extra = 1 / count, -count % tile
        points, labels = torch.as_tensor(data.train_inputs).T, torch.as_tensor(data.train_labels)
        self.points = pad(points, (0, extra)).contiguous().to(self.device, self.dtype)
        self.labels = pad(labels.int(), (0, extra), value=-1).to(self.device)
        self.tiles = len(self.labels) // tile

        units, output_bias = (one.to(self.dtype) for one in hidden_units(batch))
        self.first = units.numpy(), output_bias.numpy()
        units = pad(units, (0, shape.width - self.width))
        outgoing = units[:, self.inputs + 1 :]
        differences = outgoing[:, :-1] - outgoing[:, -1:]
        units = torch.cat([units[:, : self.inputs + 1], differences], dim=1)
        self.hidden = units.to(self.device).contiguous()
        self.output_bias = (output_bias[:, :-1] - output_bias[:, -1:]).to(self.device).contiguous()

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
        units, (first, first_bias) = units[..., : self.width], self.first
        incoming = self.inputs + 1
        outgoing = _classes(units[:, incoming:], first[:, incoming:])
        rows = np.concatenate([units[:, :incoming], outgoing], axis=1)
        return named_weights(rows, _classes(output_bias, first_bias), self.inputs, self.bias)

    def tensors(self) -> dict[str, Tensor]:
        return {"hidden": self.hidden, "output_bias": self.output_bias}


def _classes(differences: NDArray[Any], first: NDArray[Any]) -> NDArray[Any]:
    """Of all classes what the differences to the last one were made of, both with the classes in
    their second axis: they began as ``first``, exactly, and kept their sum."""
    moved = differences - (first[:, :-1] - first[:, -1:])
    last = -moved.sum(axis=1, keepdims=True) / first.shape[1]
    now: NDArray[Any] = first + np.concatenate([moved + last, last], axis=1)
    return now


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
