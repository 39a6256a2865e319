"""The step of a block of units, from the sums of the gradient; see ``half_planes_shape``."""

from typing import Any

from dynsweep.engines.compiled_shape import PLAIN
from dynsweep.engines.compiled_update import Moving, descend, gradients
from dynsweep.engines.compiled_vectors import integer
from dynsweep.engines.half_planes_shape import Planes, emitted
from dynsweep.engines.half_planes_sides import products
from dynsweep.engines.half_planes_vectors import WORD, Lanes


def _update(vec: Lanes, shape: Planes, *values: Any) -> None:
    """Add the ``count`` boxes' totals where they are on to a block's sums, and take the step."""
    units, derived, stride, block, sums, on_bits, totals, count, lr, *rest = values
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
    found = [
        b.fadd(total, rows[shape.place(*pair)]) for total, pair in zip(whole, pairs, strict=True)
    ]
    at = [vec.at(first, (stride, r)) for r in range(shape.rows)]
    w = [vec.get(units, one) for one in at]
    moving: Moving = ([], None, None)
    if shape.descent != PLAIN:
        velocity, momentum, decay = rest
        before = [vec.get(velocity, one) for one in at[: shape.trained]]
        moving = before, vec.spread(momentum), vec.spread(decay)
    slopes = gradients(vec, shape, w, found)
    w, speeds = descend(vec, shape, w, slopes, vec.spread(b.fneg(lr)), moving)
    for value, one in zip(w, at, strict=True):
        vec.put(value, units, one)
    for value, one in zip(speeds, at, strict=False):
        vec.put(value, velocity, one)
    for r, value in enumerate(products(vec, shape, w)):
        vec.put(value, derived, vec.at(first, (stride, r)))


update = emitted(_update)
