"""The step of a block of units, from the sums of the gradient; see ``half_planes_shape``."""

from functools import reduce
from typing import Any

from dynsweep.engines.compiled_vectors import integer
from dynsweep.engines.half_planes_shape import Shape, emitted
from dynsweep.engines.half_planes_sides import products
from dynsweep.engines.half_planes_vectors import WORD, Lanes

Sums = dict[tuple[int, int], Any]  # S_ic of feature i and head c


def descend(vec: Lanes, shape: Shape, w: list[Any], s: Sums, rate: Any) -> list[Any]:
    """The weights after a step of gradient descent; ``rate`` is minus its length."""
    b, features, heads = vec.builder, range(shape.features), range(shape.heads)
    new = []
    for i in features:
        slope = vec.dot((s[i, c], w[shape.features + c]) for c in heads)
        new.append(vec.fma(rate, slope, w[i]))
    slopes = [vec.dot((s[i, c], w[i]) for i in features) for c in heads]
    slopes.append(b.fneg(reduce(b.fadd, slopes)))
    w2 = [vec.fma(rate, slope, w[shape.outputs + c]) for c, slope in enumerate(slopes)]
    return [*new, *(b.fsub(w2[c], w2[-1]) for c in heads), *w2]


def _update(vec: Lanes, shape: Shape, *values: Any) -> None:
    """Add the ``count`` boxes' totals where they are on to a block's sums, and take the step."""
    units, derived, stride, block, sums, on_bits, totals, count, lr = values
    b, heads, entry = vec.builder, shape.heads, shape.entry
    blocks = b.sdiv(stride, integer(vec.lanes))
    pairs = [(i, c) for i in range(shape.features) for c in range(heads)]

    def body(k: Any, carried: list[Any]) -> list[Any]:
        on = vec.flags_of(vec.get(on_bits, vec.at(block, (k, blocks)), WORD))
        at = b.mul(k, integer(entry))
        return [
            vec.add_where(on, total, vec.element(totals, vec.at(at, integer(shape.place(*pair)))))
            for total, pair in zip(carried, pairs, strict=True)
        ]

    whole = vec.loop(count, [vec.constant(0.0)] * len(pairs), body)
    first = b.mul(block, integer(vec.lanes))
    places = [vec.at(integer(k * vec.lanes), (first, entry)) for k in range(entry)]
    rows = vec.deinterleave([vec.get(sums, place) for place in places])
    for place in places:
        vec.put(vec.constant(0.0), sums, place)
    s = {
        pair: b.fadd(total, rows[shape.place(*pair)])
        for total, pair in zip(whole, pairs, strict=True)
    }
    at = [vec.at(first, (stride, r)) for r in range(shape.rows)]
    w = [vec.get(units, one) for one in at]
    w = descend(vec, shape, w, s, vec.spread(b.fneg(lr)))
    for value, one in zip(w, at, strict=True):
        vec.put(value, units, one)
    for r, value in enumerate(products(vec, shape, w)):
        vec.put(value, derived, vec.at(first, (stride, r)))


update = emitted(_update)
