"""On which side of each unit's line groups of points are; see ``half_planes_shape``."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from dynsweep.engines.compiled_vectors import INT, integer
from dynsweep.engines.half_planes_shape import Planes, emitted
from dynsweep.engines.half_planes_vectors import WORD, Lanes


def products(vec: Lanes, shape: Planes, w: list[Any]) -> list[Any]:
    """The derived rows of weights ``w``."""
    v = w[shape.features : shape.seen]
    every = [vec.builder.fmul(one, c) for one in w[: shape.features] for c in v]
    return every + [vec.absolute(one) for one in w[: shape.inputs]]


def _derive(vec: Lanes, shape: Planes, units: Any, derived: Any, stride: Any) -> None:
    """The derived rows of all units."""

    def body(k: Any, carried: list[Any]) -> list[Any]:
        first = vec.at(0, (k, vec.lanes))
        w = [vec.get(units, vec.at(first, (stride, r))) for r in range(shape.seen)]
        for r, value in enumerate(products(vec, shape, w)):
            vec.put(value, derived, vec.at(first, (stride, r)))
        return []

    vec.loop(vec.builder.sdiv(stride, integer(vec.lanes)), [], body)


def _sides(vec: Lanes, shape: Planes, box: list[Any], w: list[Any], sizes: list[Any]) -> Any:
    """Whether units are on at the whole of a box, and whether they cut it; nan cuts.

    Args:
        box: centre and half-widths, inputs each.
        w: w1, with b1 last if there is one.
        sizes: |w1|.
    """
    b, inputs = vec.builder, shape.inputs
    bias = w[inputs] if shape.bias else None
    centre = vec.dot([(box[i], w[i]) for i in range(inputs)], bias)
    reach = vec.dot([(box[inputs + i], sizes[i]) for i in range(inputs)])
    on = b.fcmp_ordered(">", centre, reach)
    return on, b.fcmp_unordered("<=", vec.absolute(centre), reach)


def _classify(vec: Lanes, shape: Planes, *values: Any) -> Any:
    """The units that are on at box number ``box`` into ``affine`` and as bits ``on``; those that
    cut it into ``cut`` from ``first``. Returns how many these are."""
    units, derived, stride, idle, boxes, box, affine, on_bits, cut, first = values
    b, inputs, count = vec.builder, shape.inputs, shape.features * shape.heads
    at = vec.at(0, (box, 2 * inputs))
    edges = [vec.element(boxes, vec.at(at, integer(k))) for k in range(2 * inputs)]
    blocks = b.sdiv(stride, integer(vec.lanes))
    bits = vec.at(0, (box, blocks))
    lanes = ir.Constant(vec.words, list(range(vec.lanes)))

    def body(k: Any, carried: list[Any]) -> list[Any]:
        start = vec.at(0, (k, vec.lanes))
        *sums, end = carried
        w = [vec.get(units, vec.at(start, (stride, r))) for r in range(shape.features)]
        sizes = [vec.get(derived, vec.at(start, (stride, count + i))) for i in range(inputs)]
        on, crossed = _sides(vec, shape, edges, w, sizes)
        vec.put(vec.mask(on), on_bits, vec.at(bits, k))
        for r in range(count):
            value = vec.get(derived, vec.at(start, (stride, r)))
            sums[r] = vec.add_where(on, sums[r], value)
        numbers = b.add(vec.spread(b.trunc(start, WORD)), lanes)
        listed, more = vec.compress(numbers, crossed)
        vec.put(listed, cut, end)
        return [*sums, b.add(end, more)]

    *sums, end = vec.loop(blocks, [vec.constant(0.0)] * count + [first], body)
    for k, total in enumerate(vec.quads(sums)[: -(-count // 4)]):
        vec.put(total, affine, integer(4 * k))
    # Units that only fill up the last vector have weights 0, and so cut everything, at the end.
    end = b.sub(end, idle)
    _fill(vec, stride, cut, end)
    return b.sub(end, first)


def _fill(vec: Lanes, stride: Any, listed: Any, end: Any) -> None:
    """Fill up a list to a multiple of TOGETHER with the last unit, which has weights 0."""
    last = vec.builder.sub(vec.builder.trunc(stride, WORD), ir.Constant(WORD, 1))
    vec.put(vec.spread(last, vec.words), listed, end)


def _refine(vec: Lanes, shape: Planes, *values: Any) -> None:
    """Classify the groups of a group, one in a lane, for the ``n`` units ``cut`` of it: adds those
    that are on to ``affine``, from one function to a row of lanes; ``on`` and ``crossed`` get a
    mask of groups to a unit."""
    units, stride, inner, box, cut, n, affine, on_masks, masks = values
    b, inputs, count = vec.builder, shape.inputs, shape.features * shape.heads
    at = vec.at(0, (box, 2 * inputs * vec.lanes))
    edges = [vec.get(inner, vec.at(at, integer(k * vec.lanes))) for k in range(2 * inputs)]

    def body(k: Any, sums: list[Any]) -> list[Any]:
        unit = b.zext(vec.get(cut, k, WORD), INT)
        w = [vec.element(units, vec.at(unit, (stride, r))) for r in range(shape.seen)]
        sizes = [vec.absolute(one) for one in w[:inputs]]
        on, crossed = _sides(vec, shape, edges, w, sizes)
        vec.put(vec.mask(on), on_masks, k)
        vec.put(vec.mask(crossed), masks, k)
        for i in range(shape.features):
            h = w[i] if vec.target.masks else b.select(on, w[i], vec.constant(0.0))
            for c in range(shape.heads):
                r, v = i * shape.heads + c, w[shape.features + c]
                more = vec.fma(h, v, sums[r])
                sums[r] = b.select(on, more, sums[r]) if vec.target.masks else more
        return sums

    start = [vec.element(affine, integer(r)) for r in range(count)]
    for r, total in enumerate(vec.loop(n, start, body)):
        vec.put(total, affine, integer(r * vec.lanes))
    for filled in (on_masks, masks):
        vec.put(ir.Constant(vec.words, [0] * vec.lanes), filled, n)


def _choose(vec: Lanes, shape: Planes, *values: Any) -> Any:
    """Those of the ``n`` units ``cut`` whose mask has bit ``group``, to ``chosen`` from ``first``;
    returns how many these are."""
    _, stride, cut, masks, n, group, chosen, first = values
    b = vec.builder
    if vec.target.masks:
        bit = b.shl(ir.Constant(WORD, 1), b.trunc(group, WORD))
        bit, none = vec.spread(bit), ir.Constant(vec.words, [0] * vec.lanes)

        def several(k: Any, carried: list[Any]) -> list[Any]:
            start = vec.at(0, (k, vec.lanes))
            found = b.icmp_signed("!=", b.and_(vec.get(masks, start, vec.words), bit), none)
            listed, more = vec.compress(vec.get(cut, start, vec.words), found)
            vec.put(listed, chosen, carried[0])
            return [b.add(carried[0], more)]

        vectors = b.sdiv(b.add(n, integer(vec.lanes - 1)), integer(vec.lanes))
        (end,) = vec.loop(vectors, [first], several)
    else:

        def single(k: Any, carried: list[Any]) -> list[Any]:
            vec.put(vec.get(cut, k, WORD), chosen, carried[0])
            mask = b.zext(vec.get(masks, k, WORD), INT)
            return [b.add(carried[0], b.and_(b.lshr(mask, group), integer(1)))]

        (end,) = vec.loop(n, [first], single)
    _fill(vec, stride, chosen, end)
    return b.sub(end, first)


derive, refine = emitted(_derive), emitted(_refine)
classify, choose = emitted(_classify, types.int64), emitted(_choose, types.int64)
