"""The compiled function of training by half-planes; see ``half_planes_passes`` for its passes."""

import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from dynsweep.engines import compiled_kernel, half_planes_passes, half_planes_vectors
from dynsweep.engines.compiled_passes import softmax
from dynsweep.engines.half_planes_passes import (
    TOGETHER,
    choose,
    classify,
    derive,
    forward,
    refine,
    select,
    tabulate,
    tabulate_sums,
    update,
)

# numba sees when this file changes; of the others it is told through a constant.
SOURCES = compiled_kernel.SOURCES ^ zlib.crc32(
    b"".join(
        Path(str(one.__file__)).read_bytes() for one in (half_planes_passes, half_planes_vectors)
    )
)


@lru_cache(maxsize=64)
def kernel(
    inputs: int, classes: int, bias: int, size: int, levels: int, sources: int = SOURCES
) -> Any:
    """``train`` for models of that shape, vectors of ``size`` bytes and 1 or 2 levels."""
    heads = classes - 1

    def train(run, weights, b2, class_weights, rates, data, plan, scratch):  # type: ignore[no-untyped-def]
        """Take the steps of a table with run number ``run``.

        Args:
            weights: rows of units, shape ``(runs, rows * stride)``.
            b2: shape ``(runs, classes)``; 0 without biases.
            class_weights: shape ``(runs, steps, classes)``.
            rates: learning rates, shape ``(runs, steps)``.
            data: the points in their order: inputs ``(inputs * points,)``, ``tiles``
                ``(points * entry,)``, labels and shares ``(points,)``.
            plan: ``boxes`` of the first level, ``inner`` ones of the second, ``starts`` of the
                parts (the first group of each, and their number), the points of a group, and how
                many units only fill up.
            scratch: see ``half_planes.HalfPlaneSession``.
        """
        x, tiles, labels, shares = data
        boxes, inner, starts, lanes, idle = plan
        derived, sums, z, q, totals, affine, table, outer_sums, group_sums = scratch[:9]
        outer_on, cut, active, counts, outer, outer_active, outer_cut = scratch[9:]
        units, bias2 = weights[run], b2[run]
        points = len(labels)
        stride = len(units) // (inputs + bias + 2 * classes - 1)
        parts, entry, none = len(starts) - 1, len(tiles) // points, points * 0
        outer_boxes = len(boxes) // (2 * inputs)
        table[:] = 0
        sums[:] = 0
        derive(inputs, heads, bias, size, (units, derived, stride))
        gradient = totals * 0
        for step in range(rates.shape[1]):
            gradient[:] = 0
            for part in range(parts):
                groups = starts[part + 1] - starts[part]
                start = starts[part] * lanes
                end = starts[part + 1] * lanes
                padded = end - start
                first = 0
                if levels == 2:
                    those = (units, derived, stride, idle, boxes, part, affine, outer_on, outer, none)
                    n = classify(inputs, heads, bias, size, those)
                    its = (units, stride, inner, part, outer, n, affine)
                    refine(inputs, heads, bias, size, (*its, outer_active, outer_cut))
                for group in range(groups):
                    if levels == 2:
                        chosen = (units, stride, outer, outer_cut, n, group, cut, first)
                        count = choose(inputs, heads, bias, size, chosen)
                        function, jump = affine[group:], lanes
                    else:
                        those = (units, derived, stride, idle, boxes, group)
                        listed = (affine, outer_on, cut, first)
                        count = classify(inputs, heads, bias, size, (*those, *listed))
                        function, jump = affine, 1
                    turns = (count + TOGETHER - 1) // TOGETHER
                    point = start + group * lanes
                    where = (units, stride, x, points, point, function, jump, z, padded)
                    pairs = (group * lanes, cut, active, first, turns)
                    forward(inputs, heads, bias, size, (*where, *pairs))
                    counts[group] = turns
                    first += turns * TOGETHER
                shown = (padded, x, z, q, labels[start:end], shares[start:end], bias2)
                softmax(0, classes, bias, (*shown, class_weights[run, step], totals))
                for c in range(heads):
                    gradient[c] += totals[c]
                first = 0
                for group in range(groups):
                    point = start + group * lanes
                    its = (q, padded, group * lanes, tiles, point, table, group_sums, group)
                    tabulate(inputs, heads, bias, size, its)
                    pairs = (table, sums, cut, active, first, counts[group])
                    select(inputs, heads, bias, size, pairs)
                    first += counts[group] * TOGETHER
                if levels == 2:
                    group_sums[groups * entry :] = 0  # those that the last part lacks
                    its = (group_sums, table, outer_sums, part)
                    tabulate_sums(inputs, heads, bias, size, its)
                    turns = (n + TOGETHER - 1) // TOGETHER
                    pairs = (table, sums, outer, outer_active, none, turns)
                    select(inputs, heads, bias, size, pairs)
            rate = rates[run, step]
            if bias:
                total = totals[0] * 0
                for c in range(heads):
                    bias2[c] -= rate * gradient[c]
                    total += gradient[c]
                bias2[heads] += rate * total
            box_sums = outer_sums if levels == 2 else group_sums
            for block in range(stride // lanes):
                its = (units, derived, stride, block, sums, outer_on, box_sums, outer_boxes, rate)
                update(inputs, heads, bias, size, its)
        return sources

    return compiled_kernel._compiled(train)
