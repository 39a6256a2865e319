"""Logits, and the sums of the gradient, of the units that cut a group; see
``half_planes_shape``."""

from functools import reduce
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]

from dynsweep.engines.compiled_vectors import INT, integer
from dynsweep.engines.half_planes_shape import SUBSET, TOGETHER, Planes, emitted
from dynsweep.engines.half_planes_vectors import WORD, Lanes


def _forward(vec: Lanes, shape: Planes, *values: Any) -> None:
    """Logits ``z`` of the points from ``point``, whose row is ``place``; masks of the units, of
    which there are ``n`` times TOGETHER."""
    units, stride, x, points, point, affine, group, z, padded, place, cut, masks, first, n = values
    b, heads = vec.builder, shape.heads
    inputs = [vec.get(x, vec.at(point, (points, i))) for i in range(shape.inputs)]

    def function(feature: int, head: int) -> Any:
        return vec.element(affine, vec.at(group, integer((feature * heads + head) * vec.lanes)))

    start = [
        vec.dot(
            [(function(i, c), one) for i, one in enumerate(inputs)],
            function(shape.inputs, c) if shape.bias else None,
        )
        for c in range(heads)
    ]

    def one(k: Any, logits: list[Any]) -> list[Any]:
        where = b.add(first, k)
        unit = b.zext(vec.get(cut, where, WORD), INT)
        w = [vec.element(units, vec.at(unit, (stride, r))) for r in range(shape.seen)]
        bias = w[shape.inputs] if shape.bias else None
        h = vec.dot([(one, w[i]) for i, one in enumerate(inputs)], bias)
        on = vec.positive(h)
        vec.put(vec.mask(on), masks, where)
        v = w[shape.features : shape.seen]
        return [vec.fma_where(on, h, v[c], logit) for c, logit in enumerate(logits)]

    # So many units at a time, in sums of their own: the processor need not wait for each.
    sets = max(1, (8 if vec.target.masks else 4) // heads)

    def several(k: Any, carried: list[Any]) -> list[Any]:
        at = b.mul(k, integer(TOGETHER))
        sums = [carried[heads * j : heads * (j + 1)] for j in range(sets)]
        for j in range(TOGETHER):
            sums[j % sets] = one(b.add(at, integer(j)), sums[j % sets])
        return [total for some in sums for total in some]

    ends = vec.loop(n, start + [vec.constant(0.0)] * (heads * (sets - 1)), several)
    for c in range(heads):
        vec.put(reduce(b.fadd, ends[c::heads]), z, vec.at(place, (padded, c)))


def _subsets(vec: Lanes, shape: Planes, rows: list[Any], table: Any) -> Any:
    """The sums over subsets of every SUBSET rows, and the sum of all rows."""
    b, total = vec.builder, None
    for first in range(0, len(rows), SUBSET):
        sums: list[Any] = [None]
        for row in rows[first : first + SUBSET]:
            sums += [row if one is None else b.fadd(one, row) for one in sums]
        base = first // SUBSET * 2**SUBSET
        for k, one in enumerate(sums[1:], 1):
            vec.put(one, table, integer((base + k) * shape.entry))
        total = sums[-1] if total is None else b.fadd(total, sums[-1])
    return total


def _tabulate(vec: Lanes, shape: Planes, *values: Any) -> None:
    """The table of the points from ``point``, and their sum as row ``row`` of ``totals``."""
    slopes, padded, place, tiles, point, table, totals, row = values
    b, step = vec.builder, shape.step
    e = [vec.get(slopes, vec.at(place, (padded, c))) for c in range(shape.heads)]
    e += [vec.constant(0.0)] * (step - shape.heads)
    slopes = vec.interleave(e)
    rows, entry = [], ir.VectorType(vec.scalar, shape.entry)
    for lane in range(vec.lanes):
        whole, first = divmod(lane * step, vec.lanes)
        order = [first + k % step for k in range(shape.entry)]
        factors = vec.get(tiles, b.mul(b.add(point, integer(lane)), integer(shape.entry)), entry)
        rows.append(b.fmul(vec.pick(slopes[whole], slopes[whole], order), factors))
    total = _subsets(vec, shape, rows, table)
    vec.put(total, totals, vec.at(0, (row, shape.entry)))


def _tabulate_sums(vec: Lanes, shape: Planes, *values: Any) -> None:
    """The table of ``lanes`` rows of ``sums``, and their sum as row ``row`` of ``totals``."""
    sums, table, totals, row = values
    entry = ir.VectorType(vec.scalar, shape.entry)
    rows = [vec.get(sums, integer(k * shape.entry), entry) for k in range(vec.lanes)]
    vec.put(_subsets(vec, shape, rows, table), totals, vec.at(0, (row, shape.entry)))


def _select(vec: Lanes, shape: Planes, *values: Any) -> None:
    """Add to each unit's ``sums`` the entries of the table that its mask names; n as above."""
    table, sums, listed, masks, first, n = values
    b, entry = vec.builder, ir.VectorType(vec.scalar, shape.entry)

    def one(where: Any) -> None:
        unit = b.zext(vec.get(listed, where, WORD), INT)
        mask = b.zext(vec.get(masks, where, WORD), INT)
        found = []
        for part in range(vec.lanes // SUBSET):
            some = b.and_(b.lshr(mask, integer(SUBSET * part)), integer(2**SUBSET - 1))
            base = vec.at(part * 2**SUBSET, some)
            found.append(vec.get(table, b.mul(base, integer(shape.entry)), entry))
        while len(found) > 1:
            found = [reduce(b.fadd, found[k : k + 2]) for k in range(0, len(found), 2)]
        place = b.mul(unit, integer(shape.entry))
        vec.put(b.fadd(vec.get(sums, place, entry), found[0]), sums, place)

    def several(k: Any, carried: list[Any]) -> list[Any]:
        for j in range(TOGETHER):
            one(vec.at(first, (k, TOGETHER), integer(j)))
        return []

    vec.loop(n, [], several)


forward, select = emitted(_forward), emitted(_select)
tabulate, tabulate_sums = emitted(_tabulate), emitted(_tabulate_sums)
