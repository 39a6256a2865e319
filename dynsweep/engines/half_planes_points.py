"""The points of training by half-planes, in groups of neighbours, and the boxes around them."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynsweep.data.base import Dataset


def neighbours(points: NDArray[np.floating], size: int) -> list[list[NDArray[np.int64]]]:
    """Parts of up to ``size`` groups of ``size`` neighbouring points, by a k-d tree; the last
    group may be smaller.

    A line is the likelier to cut a box, the longer the box's edge. So points are parted along the
    axis, and at the place from a quarter to three quarters of them, where edges become shortest:
    cuts are 9 % fewer than by halves along the longer axis, for the 300 points of the spirals.
    """

    def split(index: NDArray[np.int64], pieces: int) -> list[NDArray[np.int64]]:
        """In so many pieces, about equal, of whole groups."""
        if pieces == 1:
            return [index]
        places = np.rint(np.linspace(0.25, 0.75, 9) * pieces).clip(1, pieces - 1).astype(int)
        ends = -(-len(index) // size) * places // pieces * size
        found = []
        for values in points[index].T:
            order = index[np.argsort(values, kind="stable")]
            first, second = _edges(points[order])[ends - 1], _edges(points[order[::-1]])[-1 - ends]
            edges = first * np.sqrt(places) + second * np.sqrt(pieces - places)
            found.append((edges.min(), edges.argmin(), order))
        _, best, order = min(found, key=lambda one: one[0])
        end, place = ends[best], int(places[best])
        return split(order[:end], place) + split(order[end:], pieces - place)

    def groups(index: NDArray[np.int64]) -> int:
        return -(-len(index) // size)

    every = np.arange(len(points))
    parts = split(every, -(-groups(every) // size))
    return [split(part, groups(part)) for part in parts]


def _edges(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Half the edge of the box around the first 1, 2, 3, ... points."""
    reach = np.maximum.accumulate(points) - np.minimum.accumulate(points)
    edges: NDArray[np.floating] = reach.sum(axis=1)
    return edges


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
            np.stack([box(points[index[a * lanes : b * lanes]]) for a, b in pairwise(starts)]),
            np.stack(inner),
        )
