"""The step of gradient descent of UNITS hidden units at once."""

from functools import reduce
from typing import Any

from dynsweep.engines.compiled_shape import MOMENTUM, PLAIN, Shape, block_rows
from dynsweep.engines.compiled_vectors import Vectors


def gradients(vec: Vectors, shape: Shape, w: list[Any], sums: list[Any]) -> list[Any]:
    """dF/dw of a block's rows of w1, b1 and w2, from its rows ``w`` and the ``sums`` S_ic."""
    b, features, heads = vec.builder, range(shape.features), range(shape.heads)
    s = {(i, c): sums[i * shape.heads + c] for i in features for c in heads}
    incoming = [vec.dot((s[i, c], w[shape.features + c]) for c in heads) for i in features]
    outgoing = [vec.dot((s[i, c], w[i]) for i in features) for c in heads]
    if not shape.squared:  # over all classes they sum to 0
        outgoing.append(b.fneg(reduce(b.fadd, outgoing)))
    return incoming + outgoing


def update(
    vec: Vectors,
    shape: Shape,
    weights: Any,
    block: Any,
    sums: list[Any],
    rate: Any,
    rest: tuple[Any, ...],
) -> None:
    """Take the step of a block; ``rate`` is -lr. Of descents that are not PLAIN the ``rest`` is
    the velocities, in blocks of their own, momentum and weight decay."""
    b, places = vec.builder, block_rows(vec, block, shape.rows)
    w = [vec.load(weights, place, vec.quad) for place in places]
    slopes = gradients(vec, shape, w, sums)
    old = w[: shape.features] + w[shape.outputs :]
    if shape.descent != PLAIN:
        velocity, momentum, decay = rest
        momentum, decay = (vec.spread(one, vec.quad) for one in (momentum, decay))
        for k, place in enumerate(block_rows(vec, block, shape.trained)):
            slope = vec.fma(decay, old[k], slopes[k])
            moved = vec.fma(momentum, vec.load(velocity, place, vec.quad), slope)
            vec.store(moved, velocity, place)
            slopes[k] = moved if shape.descent == MOMENTUM else vec.fma(momentum, moved, slope)
    new = [vec.fma(rate, slope, one) for slope, one in zip(slopes, old, strict=True)]
    incoming, outgoing = new[: shape.features], new[shape.features :]
    differences = [] if shape.squared else [b.fsub(one, outgoing[-1]) for one in outgoing[:-1]]
    for value, place in zip(incoming + differences + outgoing, places, strict=True):
        vec.store(value, weights, place)
