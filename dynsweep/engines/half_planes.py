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

FILL = 16  # units are filled up to a multiple, by one at least: whole vectors on any processor
LARGEST = 16  # numbers of an entry of sums, at most: up to 5 classes
MANY = 1500  # points from which groups of groups pay


def neighbours(points: NDArray[np.floating], size: int, many: int) -> list[NDArray[np.int64]]:
    """Groups of ``size`` neighbouring points (the last may be smaller), by a k-d tree.

    Every ``many`` groups on end are neighbours too.
    """

    def split(index: NDArray[np.int64], unit: int) -> list[NDArray[np.int64]]:
        if len(index) <= unit:
            return [index] if unit == size else split(index, size)
        inside = points[index]
        axis = np.argmax(np.ptp(inside, axis=0))
        order = index[np.argsort(inside[:, axis], kind="stable")]
        half = -(-len(index) // unit) // 2 * unit
        return split(order[:half], unit) + split(order[half:], unit)

    return split(np.arange(len(points)), size * many)


def box(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Centre and half-widths, ``(2 * inputs,)``, wider by what rounding may do: a unit that is
    said to be on, or off, at the whole box computes so at every point."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 16 * np.finfo(points.dtype).eps * np.abs(points).max()
    return np.concatenate([(low + high) / 2, (high - low) / 2 + margin])


def filling(width: int) -> int:
    """Units of weights 0 that stand behind the real ones."""
    return FILL - width % FILL


def levels(samples: int) -> int:
    return 2 if samples >= MANY else 1


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
        depth = levels(len(data.train_labels))
        self._train = kernel(self.inputs, self.classes, int(self.bias), size, depth)
        inputs = data.train_inputs.astype(number)
        groups = neighbours(inputs, lanes, lanes if depth == 2 else 1)
        groups += groups[-1:] if len(groups) % 2 else []  # whole vectors of 64 bytes
        copies = len(groups) * lanes
        order = np.concatenate([np.resize(one, lanes) for one in groups])
        real = np.concatenate([np.arange(lanes) < len(one) for one in groups])
        if len(np.unique(order)) * 0 + real.sum() > len(inputs):
            real[-lanes:] = False
        shares = np.where(real, 1 / len(inputs), 0).astype(number)
        x = inputs[order]
        tiles = np.zeros((copies, shape.entry), number)
        for i in range(shape.features):
            factor = x[:, i] if i < self.inputs else np.ones(copies)
            for head in range(shape.heads):
                tiles[:, shape.place(i, head)] = factor
        labels = data.train_labels[order]
        boxes = np.stack([box(inputs[one]) for one in groups]).astype(number)
        starts = np.array([0, len(groups)])
        inner = boxes[:1]
        if depth == 2:
            starts = np.append(np.arange(0, len(groups), lanes), len(groups))
            filled = np.concatenate([boxes, np.repeat(boxes[-1:], -len(groups) % lanes, axis=0)])
            inner = filled.reshape(-1, lanes, 2 * self.inputs).swapaxes(1, 2)
            parts = zip(starts[:-1], starts[1:], strict=True)
            boxes = np.stack([box(x[a * lanes : b * lanes]) for a, b in parts])
        integers = np.int32 if number.itemsize == 4 else np.int64
        self.data = tuple(
            _aligned(one.ravel()) for one in (x.T, tiles, labels.astype(integers), shares)
        )
        idle = filling(self.width)
        self.plan = (_aligned(boxes.ravel()), _aligned(inner.ravel()), starts, lanes, idle)
        stride, most = self.width + idle, int(np.diff(starts).max())
        numbers = (
            shape.derived * stride, stride * shape.entry, shape.heads * most * lanes,
            shape.heads * most * lanes, shape.heads,
            lanes * (shape.features * shape.heads + 4),
            lanes // 4 * 16 * shape.entry, len(boxes) * shape.entry,
            max(most, lanes) * shape.entry,
        )  # fmt: skip
        listed = most * (stride + 4) + lanes
        words = (len(boxes) * stride // lanes, listed, listed)
        self.workspace = [
            (
                *(_empty(count, self.dtype) for count in numbers),
                *(_empty(count, torch.int32) for count in words),
                _empty(most, torch.int64),
                *(_empty(stride + lanes, torch.int32) for _ in range(3)),
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
