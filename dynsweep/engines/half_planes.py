"""The simple model below the dense count: its units are half-planes, and most groups of
neighbouring points lie wholly on one side of one.

The compiled engine takes this path for one and two inputs where it pays. Nothing is kept from
step to step, and sums stand in a fixed order: a run's bits are its own, as on the dense path.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dynsweep.config import RunConfig
from dynsweep.data import load
from dynsweep.engines.base import named_weights
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledSession, Scratch
from dynsweep.engines.half_planes_points import Points

FILL = 16  # units are filled up to a multiple, by one at least: whole vectors on any processor
MOST_INPUTS, MOST_HEADS = 2, 4  # sums of a subset of points: (inputs + bias) * heads, at most 12
# Where it pays, measured on one thread of a Zen 5 core as the ratio of the times of the dense
# step and of this one, for P points, in float32 | float64:
#
#                   AVX-512                          AVX2
#           P = 60      120     300     3,000   60      120     300     3,000
#   C = 3, H = 10               0.7|0.7 0.9|0.9                 0.9|0.8 1.1|1.0
#       H = 30  0.7|0.8 0.9|0.9 0.9|1.0 1.7|1.6 1.2|1.0 1.2|1.1 1.3|1.3 1.9|1.5
#      H = 100  0.8|1.1 1.1|1.1 1.2|1.3 3.2|2.7 1.3|1.2 1.3|1.4 1.7|1.7 3.3|2.5
#     H = 1000  0.9|1.1 1.2|1.3 1.6|1.9 6.0|6.0 1.4|1.3 1.6|1.6 2.2|2.3 5.5|4.1
#   C=2, H=100  0.7|1.0 1.0|1.1 1.0|1.3 2.3|2.6 1.1|1.1 1.2|1.4 1.4|1.8 3.0|2.9
#   C=5, H=100  1.0|1.1 1.3|1.2 1.4|1.3 3.7|3.3 1.3|1.1 1.4|1.3 1.7|1.6 3.5|2.4
#
# Groups cost what some FEW units cost, and the fewer heads, the cheaper the dense sums are. By the
# bytes of a vector; with vectors of 16 bytes it was not measured, and is not taken.
FEW, BREAK_EVEN = {64: 28, 32: 10}, {64: 240, 32: 90}


def filling(width: int) -> int:
    """Units of weights 0 that stand behind the real ones."""
    return FILL - width % FILL


def pays(run: RunConfig) -> bool:
    """Whether runs like this are trained by half-planes: a rule on their shape, the same for all
    runs of a batch, and on the processor's vectors; see ``BREAK_EVEN``."""
    from dynsweep.engines.compiled_vectors import processor

    data = load(run.dataset)
    inputs, width, vector = math.prod(data.shape), run.model.width, processor().bytes
    heads = data.classes - (run.loss.name == "cross_entropy")
    if run.optimizer.batch_size or inputs > MOST_INPUTS or heads > MOST_HEADS:
        return False
    if vector not in BREAK_EVEN:
        return False
    return len(data.train_labels) * (1 - FEW[vector] / width) > BREAK_EVEN[vector] / heads


class HalfPlaneSession(CompiledSession):
    """Training of one batch by half-planes; measuring stays that of the dense path."""

    def __init__(self, batch: Batch, device: str) -> None:
        from dynsweep.engines.compiled_vectors import processor
        from dynsweep.engines.half_planes_shape import Planes

        super().__init__(batch, device)
        # Of velocities, rows of units; those of the dense passes are for checkpoints.
        moves = bool(self.velocity.size)
        self.speeds = np.zeros((self.runs, moves * self.units.shape[1]), self.units.dtype)
        shape, number = Planes(*self.shape), np.dtype(batch.first.dtype)
        lanes = processor().bytes // number.itemsize
        points = Points.of(batch.dataset, number, lanes)
        tiles = np.zeros((len(points.labels), shape.entry), number)
        for i in range(shape.features):
            factors = points.inputs[:, i] if i < shape.inputs else np.ones(len(tiles))
            for head in range(shape.heads):
                tiles[:, shape.place(i, head)] = factors
        labels = points.labels.astype(np.int32 if number.itemsize == 4 else np.int64)
        arrays = (points.inputs.T, tiles, labels, points.shares)
        self.data = tuple(_aligned(one.ravel()) for one in arrays)
        idle, boxes = filling(self.width), (points.boxes, points.inner)
        self.plan = (*(_aligned(one.ravel()) for one in boxes), points.starts, lanes, idle)
        stride, parts = self.width + idle, len(points.boxes)
        functions = shape.features * shape.heads
        numbers = (
            shape.derived * stride, stride * shape.entry, shape.heads * lanes**2,
            shape.heads * lanes**2, shape.heads, lanes * functions + 4,
            lanes // 4 * 16 * shape.entry, parts * shape.entry, lanes * shape.entry,
        )  # fmt: skip
        listed = lanes * (stride + 4) + lanes
        words = (parts * stride // lanes, listed, listed, *[stride + lanes] * 3)
        self.workspace = [
            (
                *(_empty(count, self.dtype) for count in numbers),
                *(_empty(count, torch.int32) for count in words),
                _empty(lanes, torch.int64),
            )
            for _ in range(self.threads)
        ]

    def _train(self, shape: Any) -> Any:
        from dynsweep.engines.half_planes_kernel import kernel
        from dynsweep.engines.half_planes_shape import Planes

        return kernel(Planes(*shape))

    def _pack(self, units: NDArray[Any], output_bias: NDArray[Any]) -> None:
        super()._pack(units, output_bias)
        rows = self._rows(units, filling(self.width))
        self.units = np.ascontiguousarray(rows.reshape(self.runs, -1))

    def _real(self) -> NDArray[Any]:
        """Rows of the units that there are."""
        return self.units.reshape(self.runs, self.shape.rows, -1)[:, :, : self.width]

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return named_weights(self._real(), self.b2, self.shape.inputs, self.bias)

    def state(self) -> dict[str, NDArray[Any]]:
        """As the dense passes have it, which another processor, or version, may choose."""
        super()._pack(self._real(), self.b2)
        if self.speeds.size:
            rows = self.speeds.reshape(self.runs, self.shape.rows, -1)
            rows = rows[:, : self.shape.trained, : self.width]
            self.velocity[:] = self._blocks(rows)
        return super().state()

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        super().restore(step, state)
        self._pack(self._unblocked(self.params, self.shape.rows), self.b2)
        if self.speeds.size:
            rows = self._unblocked(self.velocity, self.shape.trained)
            rows = np.pad(rows, ((0, 0), (0, 0), (0, filling(self.width))))
            self.speeds[:, : rows[0].size] = rows.reshape(self.runs, -1)

    def _own(self) -> tuple[NDArray[Any], NDArray[Any], tuple[Any, ...], Sequence[Scratch]]:
        return self.units, self.speeds, (self.data, self.plan), self.workspace

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        super()._pack(self._real(), self.b2)
        return super().metrics()


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy in memory of PyTorch's, which starts at a whole vector."""
    return torch.from_numpy(np.ascontiguousarray(array)).clone().numpy()


def _empty(count: int, dtype: torch.dtype) -> Any:
    return torch.empty(count, dtype=dtype).numpy()
