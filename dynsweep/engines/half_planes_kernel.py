"""The compiled function of training by half-planes; see ``half_planes_shape`` for its passes."""

import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dynsweep.engines import (
    compiled_kernel,
    half_planes_shape,
    half_planes_sides,
    half_planes_sums,
    half_planes_update,
    half_planes_vectors,
)
from dynsweep.engines.compiled_passes import softmax
from dynsweep.engines.half_planes_shape import TOGETHER
from dynsweep.engines.half_planes_sides import choose, classify, derive, refine
from dynsweep.engines.half_planes_sums import forward, select, tabulate, tabulate_sums
from dynsweep.engines.half_planes_update import update, update_nesterov

# numba sees when this file changes; of the others it is told through a constant.
FILES = (
    half_planes_shape, half_planes_sides, half_planes_sums, half_planes_update,
    half_planes_vectors,
)  # fmt: skip
SOURCES = compiled_kernel.SOURCES ^ zlib.crc32(
    b"".join(Path(str(one.__file__)).read_bytes() for one in FILES)
)


@lru_cache(maxsize=64)
def kernel(
    inputs: int, classes: int, bias: int, size: int, motion: int, sources: int = SOURCES
) -> Any:
    """``train`` for models of that shape, and vectors of ``size`` bytes; ``motion`` is 0 without
    momentum and weight decay, 1 with, and 2 with Nesterov's momentum."""
    heads = classes - 1

    def train(run, weights, b2, class_weights, rates, data, plan, scratch, moving):  # type: ignore[no-untyped-def]
        """Take the steps of a table with run number ``run``.

        Args:
            weights: rows of units, shape ``(runs, rows * stride)``.
            b2: shape ``(runs, classes)``; 0 without biases.
            class_weights: shape ``(runs, steps, classes)``.
            rates: learning rates, shape ``(runs, steps)``.
            data: the points in their order: inputs ``(inputs * points,)``, ``tiles``
                ``(points * entry,)``, labels and shares ``(points,)``.
            plan: ``boxes`` of the parts, and ``inner`` ones of their groups in lanes; ``starts``
                of the parts (the first group of each, and their number); points to a group; and
                how many units only fill up.
            scratch: see ``half_planes.HalfPlaneSession``.
            moving: velocities of the rows of w1, b1 and w2, ``(runs, rows * stride)``, and of b2
                ``(runs, classes)``; momenta and weight decays ``(runs,)``.
        """
        velocity, velocity2 = moving[0][run], moving[1][run]
        momentum, decay = moving[2][run], moving[3][run]
        x, tiles, labels, shares = data
        boxes, inner, starts, lanes, idle = plan
        derived, sums, z, q, totals, affine, table, part_sums, group_sums = scratch[:9]
        on, cut, active, crossing, inside, crossed, turns = scratch[9:]
        units, bias2 = weights[run], b2[run]
        points = len(labels)
        stride = len(units) // (inputs + bias + 2 * classes - 1)
        parts, entry, none = len(starts) - 1, len(tiles) // points, points * 0
        table[:] = 0
        sums[:] = 0
        derive(inputs, heads, bias, size, (units, derived, stride))
        gradient = np.zeros_like(b2[run])
        for step in range(rates.shape[1]):
            gradient[:] = 0
            for part in range(parts):
                groups = starts[part + 1] - starts[part]
                start, end = starts[part] * lanes, starts[part + 1] * lanes
                padded = end - start
                those = (units, derived, stride, idle, boxes, part, affine, on, crossing, none)
                n = classify(inputs, heads, bias, size, those)
                within = (units, stride, inner, part, crossing, n, affine, inside, crossed)
                refine(inputs, heads, bias, size, within)
                first = 0
                # All lists first: the logits would wait for the end of their own.
                for group in range(groups):
                    chosen = (units, stride, crossing, crossed, n, group, cut, first)
                    count = choose(inputs, heads, bias, size, chosen)
                    turns[group] = (count + TOGETHER - 1) // TOGETHER
                    first += turns[group] * TOGETHER
                first = 0
                for group in range(groups):
                    where = (units, stride, x, points, start + group * lanes, affine, group)
                    into = (z, padded, group * lanes, cut, active, first, turns[group])
                    forward(inputs, heads, bias, size, (*where, *into))
                    first += turns[group] * TOGETHER
                shown = (padded, x, z, q, labels[start:end], shares[start:end], bias2)
                softmax(0, classes, bias, (*shown, class_weights[run, step], totals))
                for c in range(heads):
                    gradient[c] += totals[c]
                first = 0
                for group in range(groups):
                    slopes = (q, padded, group * lanes, tiles, start + group * lanes)
                    tabulate(inputs, heads, bias, size, (*slopes, table, group_sums, group))
                    pairs = (table, sums, cut, active, first, turns[group])
                    select(inputs, heads, bias, size, pairs)
                    first += turns[group] * TOGETHER
                group_sums[groups * entry :] = 0  # those that this part lacks
                tabulate_sums(inputs, heads, bias, size, (group_sums, table, part_sums, part))
                whole = (table, sums, crossing, inside, none, (n + TOGETHER - 1) // TOGETHER)
                select(inputs, heads, bias, size, whole)
            rate = rates[run, step]
            if bias:
                total = totals[0] * 0
                for c in range(classes):
                    g = gradient[c] if c < heads else -total
                    total += g
                    if motion:
                        g += decay * bias2[c]
                        velocity2[c] = momentum * velocity2[c] + g
                        g = g + momentum * velocity2[c] if motion == 2 else velocity2[c]
                    bias2[c] -= rate * g
            for block in range(stride // lanes):
                its = (units, derived, stride, block, sums, on, part_sums, parts, rate)
                if motion == 2:
                    moves = (velocity, momentum, decay)
                    update_nesterov(inputs, heads, bias, size, (*its, *moves))
                elif motion:
                    update(inputs, heads, bias, size, (*its, velocity, momentum, decay))
                else:
                    update(inputs, heads, bias, size, its)
        return sources

    return compiled_kernel._compiled(train)
