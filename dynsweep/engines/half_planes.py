"""The simple model below the dense count: its units are half-planes, and most groups of
neighbouring points lie wholly on one side of one.

The compiled engine takes this path for one and two inputs where it pays. Nothing is kept from
step to step, and sums stand in a fixed order: a run's bits are its own, as on the dense path.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines.base import named_weights
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledSession
from dynsweep.engines.half_planes_points import Points

FILL = 16  # units are filled up to a multiple, by one at least: whole vectors on any processor
MOST_INPUTS, MOST_HEADS = 2, 4  # sums of a subset of points: (inputs + bias) * heads, at most 12
# Where it pays, measured on one thread of a Zen 5 core as the ratio of the times of the dense
# step and of this one, for P points:
#
#                  AVX-512, float32             float64           AVX2, float32
#                  P = 60   120  300 3,000    60  120  300 3,000    60  300  3,000
#   C = 3, H = 10    0.57  0.63 0.65  0.94   0.5  0.8  0.7   0.9   1.2  1.3  1.7
#          H = 30    0.69  0.77 0.83  1.6    0.8  0.9  0.9   1.6   1.7  2.1  3.1
#          H = 100   0.80  0.99 1.2   2.9    0.8  1.0  1.3   2.8   2.2  2.9  5.5
#          H = 1000  0.91  1.16 1.5   5.8    1.0  1.2  1.7         2.1  4.0
#   C = 2, H = 100   0.71  0.81 0.98  2.0    1.0  1.0  1.3   2.5   1.5  1.8  3.7
#   C = 5, H = 100   1.15  1.09 1.35  3.4    1.0  1.1  1.3   3.2
#
# Groups cost what some FEW units cost, and the fewer heads, the cheaper the dense sums are. Of
# vectors of 32 bytes the rule asks for a ratio of about 2: the dense passes were not made for
# them.
FEW, BREAK_EVEN = 28, {64: 240, 32: 90}


def filling(width: int) -> int:
    """Units of weights 0 that stand behind the real ones."""
    return FILL - width % FILL


def pays(run: RunConfig) -> bool:
    """Whether runs like this are trained by half-planes: a rule on their shape, the same for all
    runs of a batch, and on the processor's vectors; see ``BREAK_EVEN``."""
    from dynsweep.engines.half_planes_vectors import vector_bytes

    data = load(run.dataset)
    inputs, heads, width = data.train_inputs.shape[1], data.classes - 1, run.model.width
    if inputs > MOST_INPUTS or heads > MOST_HEADS:
        return False
    return len(data.train_labels) * (1 - FEW / width) > BREAK_EVEN[vector_bytes()] / heads


class HalfPlaneSession(CompiledSession):
    """Training of one batch by half-planes; measuring stays that of the dense path."""

    def __init__(self, batch: Batch, device: str) -> None:
        super().__init__(batch, device)
        from dynsweep.engines.half_planes_kernel import kernel
        from dynsweep.engines.half_planes_shape import Shape
        from dynsweep.engines.half_planes_vectors import vector_bytes

        assert isinstance(batch.first.model, MLPConfig)
        size = vector_bytes()
        shape = Shape(self.inputs, self.classes - 1, int(self.bias))
        number = np.dtype(batch.first.dtype)
        lanes = size // number.itemsize
        kind = (self.inputs, self.classes, int(self.bias), size)
        optimizer = batch.first.optimizer
        self._train = kernel(*kind, 0)
        self._move = kernel(*kind, 2 if optimizer.nesterov else 1)
        points = Points.of(batch.dataset, number, lanes)
        tiles = np.zeros((len(points.labels), shape.entry), number)
        for i in range(shape.features):
            factors = points.inputs[:, i] if i < self.inputs else np.ones(len(tiles))
            for head in range(shape.heads):
                tiles[:, shape.place(i, head)] = factors
        labels = points.labels.astype(np.int32 if number.itemsize == 4 else np.int64)
        arrays = (points.inputs.T, tiles, labels, points.shares)
        self.data = tuple(_aligned(one.ravel()) for one in arrays)
        self.moving = self._velocities(batch, number)
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

    def _velocities(self, batch: Batch, number: np.dtype[Any]) -> tuple[NDArray[Any], ...]:
        """Velocities of the units' rows and of b2, momenta, and weight decays; see the kernel."""
        settings = [
            batch.array(f"optimizer.{name}").astype(number)
            for name in ("momentum", "weight_decay")
        ]
        self.moves = (settings[0] != 0) | (settings[1] != 0)
        rows = self.inputs + self.bias + self.classes if self.moves.any() else 0
        shape = (self.runs, rows * (self.width + filling(self.width)))
        return np.zeros(shape, number), np.zeros_like(self.b2), *settings

    def _pack(self, units: NDArray[Any], output_bias: NDArray[Any]) -> None:
        super()._pack(units, output_bias)
        w2 = units[:, -self.classes :]
        rows = [units[:, : self.inputs + self.bias], w2[:, :-1] - w2[:, -1:], w2]
        filled = np.pad(np.concatenate(rows, axis=1), ((0, 0), (0, 0), (0, filling(self.width))))
        self.units = np.ascontiguousarray(filled.reshape(self.runs, -1))

    def _rows(self) -> NDArray[Any]:
        rows = self.units.reshape(self.runs, self.inputs + self.bias + 2 * self.classes - 1, -1)
        return rows[:, :, : self.width]

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return named_weights(self._rows(), self.b2, self.inputs, self.bias)

    def tensors(self) -> dict[str, Tensor]:
        """The weights as the dense passes have them: another processor, or version, may choose
        these when it goes on from a checkpoint."""
        tensors = super().tensors()
        if self.moves.any():
            names = ("velocity", "velocity_b2")
            tensors |= {name: torch.from_numpy(self.moving[k]) for k, name in enumerate(names)}
        return tensors

    def state(self) -> dict[str, NDArray[Any]]:
        super()._pack(self._rows(), self.b2)
        return super().state()

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        super().restore(step, state)
        weights = CompiledSession.weights(self)
        biases = [weights["b1"][:, None]] if self.bias else []
        self._pack(np.concatenate([weights["w1"], *biases, weights["w2"].mT], axis=1), self.b2)

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        tables = [np.ascontiguousarray(table.transpose(0, 1)) for table in (class_weights, rates)]
        free = list(self.workspace)

        def work(run: int, scratch: tuple[NDArray[Any], ...]) -> None:
            mine = free.pop()
            train = self._move if self.moves[run] else self._train
            train(run, self.units, self.b2, *tables, self.data, self.plan, mine, self.moving)
            free.append(mine)

        self._every_run(work)
        self.step += len(rates)

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        super()._pack(self._rows(), self.b2)
        return super().metrics()


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy in memory of PyTorch's, which starts at a whole vector."""
    return torch.from_numpy(np.ascontiguousarray(array)).clone().numpy()


def _empty(count: int, dtype: torch.dtype) -> Any:
    return torch.empty(count, dtype=dtype).numpy()
