"""The simple model below the dense count: its units are half-planes, and most groups of
neighbouring points lie wholly on one side of one.

The compiled engine takes this path for one and two inputs where it pays. Nothing is kept from
step to step, and sums stand in a fixed order: a run's bits are its own, as on the dense path.
"""

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
LARGEST = 16  # numbers of an entry of sums, at most: up to 5 classes


def filling(width: int) -> int:
    """Units of weights 0 that stand behind the real ones."""
    return FILL - width % FILL


def pays(run: RunConfig) -> bool:
    """Whether runs like this are trained by half-planes: a rule, so that bits are the same."""
    data = load(run.dataset)
    inputs = data.train_inputs.shape[1]
    return inputs <= 2 and data.classes <= 5


class HalfPlaneSession(CompiledSession):
    """Training of one batch by half-planes; measuring stays that of the dense path."""

    def __init__(self, batch: Batch, device: str) -> None:
        super().__init__(batch, device)
        from dynsweep.engines.half_planes_kernel import kernel
        from dynsweep.engines.half_planes_passes import Shape
        from dynsweep.engines.half_planes_vectors import vector_bytes

        assert isinstance(batch.first.model, MLPConfig)
        size = vector_bytes()
        shape = Shape(self.inputs, self.classes - 1, int(self.bias))
        number = np.dtype(batch.first.dtype)
        lanes, data = size // number.itemsize, batch.dataset
        self._train = kernel(self.inputs, self.classes, int(self.bias), size)
        points = Points.of(batch.dataset, number, lanes)
        tiles = np.zeros((len(points.labels), shape.entry), number)
        for i in range(shape.features):
            factors = points.inputs[:, i] if i < self.inputs else np.ones(len(tiles))
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
        return {"units": torch.from_numpy(self.units), "b2": torch.from_numpy(self.b2)}

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        tables = [np.ascontiguousarray(table.transpose(0, 1)) for table in (class_weights, rates)]
        free = list(self.workspace)

        def work(run: int, scratch: tuple[NDArray[Any], ...]) -> None:
            mine = free.pop()
            self._train(run, self.units, self.b2, *tables, self.data, self.plan, mine)
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
