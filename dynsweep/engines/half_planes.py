"""The simple model below the dense count: its units are half-planes, and most groups of
neighbouring points lie wholly on one side of one.

The compiled engine takes this path for one and two inputs where it pays. Nothing is kept from
step to step, and sums stand in a fixed order: a run's bits are its own, as on the dense path.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.data.base import Dataset
from dynsweep.engines.base import named_weights
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledSession

FILL = 16  # units are filled up to a multiple, by one at least: whole vectors on any processor
LARGEST = 16  # numbers of an entry of sums, at most: up to 5 classes


def neighbours(points: NDArray[np.floating], size: int) -> list[list[NDArray[np.int64]]]:
    """Parts of up to ``size`` groups of ``size`` neighbouring points, by a k-d tree; the last
    group may be smaller."""

    def split(index: NDArray[np.int64], pieces: int) -> list[NDArray[np.int64]]:
        """In so many pieces, about equal, of whole groups."""
        if pieces == 1:
            return [index]
        inside = points[index]
        axis = np.argmax(np.ptp(inside, axis=0))
        order = index[np.argsort(inside[:, axis], kind="stable")]
        groups = -(-len(index) // size)
        half = groups * (pieces // 2) // pieces * size
        return split(order[:half], pieces // 2) + split(order[half:], pieces - pieces // 2)

    def groups(index: NDArray[np.int64]) -> int:
        return -(-len(index) // size)

    every = np.arange(len(points))
    parts = split(every, -(-groups(every) // size))
    return [split(part, groups(part)) for part in parts]


def box(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Centre and half-widths, ``(2 * inputs,)``, wider by what rounding may do: a unit that is
    said to be on, or off, at the whole box computes so at every point."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 16 * np.finfo(points.dtype).eps * np.abs(points).max()
    return np.concatenate([(low + high) / 2, (high - low) / 2 + margin])


@dataclass(frozen=True)
class Points:
    """The training set in parts of up to ``lanes`` groups of ``lanes`` points.

    Attributes:
        inputs, labels, shares: of the points in that order; a group is filled up with copies of
            points of share 0, and so is a part, by a group if need be, to 64 bytes a row.
        starts: the first group of each part, and the number of groups.
        boxes: of the parts, ``(parts, 2 * inputs)``.
        inner: of their groups, ``(parts, 2 * inputs, lanes)``.
    """

    inputs: NDArray[np.floating]
    labels: NDArray[np.int64]
    shares: NDArray[np.floating]
    starts: NDArray[np.int64]
    boxes: NDArray[np.floating]
    inner: NDArray[np.floating]

    @classmethod
    def of(cls, data: Dataset, number: np.dtype[Any], lanes: int) -> "Points":
        points = data.train_inputs.astype(number)
        order, real, inner, starts = [], [], [], [0]
        for part in neighbours(points, lanes):
            counts = [len(group) for group in part]
            if len(part) * lanes * number.itemsize % 64:
                part, counts = [*part, part[-1]], [*counts, 0]
            order += [np.resize(group, lanes) for group in part]
            real += [np.arange(lanes) < count for count in counts]
            boxes = [box(points[group]) for group in part]
            inner.append(np.stack(boxes + boxes[-1:] * (lanes - len(boxes)), axis=1))
            starts.append(starts[-1] + len(part))
        index, shares = np.concatenate(order), np.concatenate(real) / len(points)
        return cls(
            points[index],
            data.train_labels[index],
            shares.astype(number),
            np.array(starts),
            np.stack(
                [
                    box(points[index[a * lanes : b * lanes]])
                    for a, b in zip(starts[:-1], starts[1:], strict=True)
                ]
            ),
            np.stack(inner),
        )


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
