"""The compiled function of training by half-planes; see ``half_planes_shape`` for its passes."""

from functools import lru_cache
from typing import Any

from dynsweep.engines import (
    compiled_kernel,
    half_planes_shape,
    half_planes_sides,
    half_planes_sums,
    half_planes_update,
    half_planes_vectors,
)
from dynsweep.engines.compiled_kernel import descend_bias
from dynsweep.engines.compiled_passes import gradient
from dynsweep.engines.compiled_shape import NESTEROV, PLAIN, Shape
from dynsweep.engines.half_planes_shape import TOGETHER, Planes
from dynsweep.engines.half_planes_sides import choose, classify, derive, refine
from dynsweep.engines.half_planes_sums import forward, select, tabulate, tabulate_sums
from dynsweep.engines.half_planes_update import update

SOURCES = compiled_kernel.SOURCES ^ compiled_kernel.checksum(
    half_planes_shape,
    half_planes_sides,
    half_planes_sums,
    half_planes_update,
    half_planes_vectors,
)


@lru_cache(maxsize=64)
def kernel(shape: Planes, sources: int = SOURCES) -> Any:
    """``train`` for models of that shape."""
    code, heads, bias, rows = shape.code, shape.heads, shape.bias, shape.rows
    moves, nesterov = shape.descent != PLAIN, shape.descent == NESTEROV
    # The loss looks at logits only.
    outputs = Shape(0, shape.classes, bias, shape.squared).code

    def train(run, weights, b2, descent, tables, data, plan, scratch):  # type: ignore[no-untyped-def]
        """Take the steps of a table with run number ``run``.

        Args:
            weights: rows of units, shape ``(runs, rows * stride)``.
            b2, descent, tables: as of the dense passes, see ``compiled_kernel``; velocities in
                rows of units.
            data: the points in their order: inputs ``(inputs * points,)``, ``tiles``
                ``(points * entry,)``, labels and shares ``(points,)``.
            plan: ``boxes`` of the parts, and ``inner`` ones of their groups in lanes; ``starts``
                of the parts (the first group of each, and their number); points to a group; and
                how many units only fill up.
            scratch: see ``half_planes.HalfPlaneSession``.
        """
        velocity, velocity2, momenta, decays = descent
        class_weights, rates = tables
        speeds, speeds2, momentum, decay = velocity[run], velocity2[run], momenta[run], decays[run]
        x, tiles, labels, shares = data
        boxes, inner, starts, lanes, idle = plan
        derived, sums, z, q, totals, affine, table, part_sums, group_sums = scratch[:9]
        on, cut, active, crossing, inside, crossed, turns = scratch[9:]
        units, bias2 = weights[run], b2[run]
        points = len(labels)
        stride = len(units) // rows
        parts, entry, none = len(starts) - 1, len(tiles) // points, points * 0
        table[:] = 0
        sums[:] = 0
        derive(code, (units, derived, stride))
        slopes2 = totals * 0
        for step in range(rates.shape[1]):
            slopes2[:] = 0
            for part in range(parts):
                groups = starts[part + 1] - starts[part]
                start, end = starts[part] * lanes, starts[part + 1] * lanes
                padded = end - start
                those = (units, derived, stride, idle, boxes, part, affine, on, crossing, none)
                n = classify(code, those)
                within = (units, stride, inner, part, crossing, n, affine, inside, crossed)
                refine(code, within)
                first = 0
                # All lists first: the logits would wait for the end of their own.
                for group in range(groups):
                    chosen = (units, stride, crossing, crossed, n, group, cut, first)
                    count = choose(code, chosen)
                    turns[group] = (count + TOGETHER - 1) // TOGETHER
                    first += turns[group] * TOGETHER
                first = 0
                for group in range(groups):
                    where = (units, stride, x, points, start + group * lanes, affine, group)
                    into = (z, padded, group * lanes, cut, active, first, turns[group])
                    forward(code, (*where, *into))
                    first += turns[group] * TOGETHER
                shown = (padded, x, z, q, labels[start:end], shares[start:end], bias2)
                gradient(outputs, (*shown, class_weights[run, step], totals))
                for c in range(heads):
                    slopes2[c] += totals[c]
                first = 0
                for group in range(groups):
                    slopes = (q, padded, group * lanes, tiles, start + group * lanes)
                    tabulate(code, (*slopes, table, group_sums, group))
                    pairs = (table, sums, cut, active, first, turns[group])
                    select(code, pairs)
                    first += turns[group] * TOGETHER
                group_sums[groups * entry :] = 0  # those that this part lacks
                tabulate_sums(code, (group_sums, table, part_sums, part))
                whole = (table, sums, crossing, inside, none, (n + TOGETHER - 1) // TOGETHER)
                select(code, whole)
            rate = rates[run, step]
            if bias:
                own = (speeds2, momentum, decay, moves, nesterov)
                descend_bias(bias2, slopes2, heads, rate, *own)
            for block in range(stride // lanes):
                its = (units, derived, stride, block, sums, on, part_sums, parts, rate)
                if moves:
                    update(code, (*its, speeds, momentum, decay))
                else:
                    update(code, its)
        return sources

    return compiled_kernel._compiled(train)
