"""The step of a block of units, from the sums of the gradient; see ``half_planes_shape``."""

from functools import partial, reduce
from typing import Any

from dynsweep.engines.compiled_vectors import integer
from dynsweep.engines.half_planes_shape import Shape, emitted
from dynsweep.engines.half_planes_sides import products
from dynsweep.engines.half_planes_vectors import WORD, Lanes

Sums = dict[tuple[int, int], Any]  # S_ic of feature i and head c


def gradients(vec: Lanes, shape: Shape, w: list[Any], s: Sums) -> list[Any]:
    """dF/dw of the rows of w1 and b1, and of w2."""
    features, heads = range(shape.features), range(shape.heads)
    first = [vec.dot((s[i, c], w[shape.features + c]) for c in heads) for i in features]
    second = [vec.dot((s[i, c], w[i]) for i in features) for c in heads]
    return [*first, *second, vec.builder.fneg(reduce(vec.builder.fadd, second))]


def moved(vec: Lanes, g: Any, w: Any, velocity: Any, settings: Any, nesterov: bool) -> Any:
    """The direction of a step with momentum and weight decay, and the new velocity."""
    momentum, decay = settings
    g = vec.fma(decay, w, g)
    velocity = vec.fma(momentum, velocity, g)
    return vec.fma(momentum, velocity, g) if nesterov else velocity, velocity


def _update(vec: Lanes, shape: Shape, *values: Any, nesterov: bool = False) -> None:
    """Add the ``count`` boxes' totals where they are on to a block's sums, and take the step;
    with a velocity, momentum and weight decay if these are given after the learning rate."""
    units, derived, stride, block, sums, on_bits, totals, count, lr, *motion = values
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
    rate, features, heads = vec.spread(b.fneg(lr)), shape.features, shape.heads
    params = w[:features] + w[shape.outputs :]
    steps = gradients(vec, shape, w, s)
    if motion:
        velocities, *numbers = motion
        settings = [vec.spread(number) for number in numbers]
        for r, (g, param) in enumerate(zip(steps, params, strict=True)):
            place = vec.at(first, (stride, r))
            velocity = vec.get(velocities, place)
            steps[r], velocity = moved(vec, g, param, velocity, settings, nesterov)
            vec.put(velocity, velocities, place)
    new = [vec.fma(rate, step, param) for step, param in zip(steps, params, strict=True)]
    w2 = new[features:]
    w = [*new[:features], *(b.fsub(w2[c], w2[-1]) for c in range(heads)), *w2]
    for value, one in zip(w, at, strict=True):
        vec.put(value, units, one)
    for r, value in enumerate(products(vec, shape, w)):
        vec.put(value, derived, vec.at(first, (stride, r)))


update, update_nesterov = emitted(_update), emitted(partial(_update, nesterov=True))
