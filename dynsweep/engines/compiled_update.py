"""The step of gradient descent of a vector of hidden units."""

from functools import reduce
from typing import Any

from dynsweep.engines.compiled_shape import NESTEROV, PLAIN, Shape, block_rows
from dynsweep.engines.compiled_vectors import Vectors

Moving = tuple[list[Any], Any, Any]  # velocities, momentum, weight decay


def gradients(vec: Vectors, shape: Shape, w: list[Any], sums: list[Any]) -> list[Any]:
    """dF/dw of a block's rows of w1, b1 and w2, from its rows ``w`` and the ``sums`` S_ic."""
    b, features, heads = vec.builder, range(shape.features), range(shape.heads)
    s = {(i, c): sums[i * shape.heads + c] for i in features for c in heads}
    incoming = [vec.dot((s[i, c], w[shape.features + c]) for c in heads) for i in features]
    outgoing = [vec.dot((s[i, c], w[i]) for i in features) for c in heads]
    if not shape.squared:  # over all classes they sum to 0
        outgoing.append(b.fneg(reduce(b.fadd, outgoing)))
    return incoming + outgoing


def descend(
    vec: Vectors,
    shape: Shape,
    w: list[Any],
    slopes: list[Any],
    rate: Any,
    moving: Moving,
) -> tuple[list[Any], list[Any]]:
    """Rows of weights after a step, and velocities.

    Args:
        w: rows before it.
        slopes: dF/dw of those that are trained, w1, b1 and w2.
        rate: minus the learning rate.
        moving: of descents that are not PLAIN, the velocities, momentum and weight decay.
    """
    old, speeds = w[: shape.features] + w[shape.outputs :], []
    if shape.descent != PLAIN:
        before, momentum, decay = moving
        slopes = [vec.fma(decay, *pair) for pair in zip(old, slopes, strict=True)]
        speeds = [vec.fma(momentum, *pair) for pair in zip(before, slopes, strict=True)]
        ahead = [vec.fma(momentum, *pair) for pair in zip(speeds, slopes, strict=True)]
        slopes = ahead if shape.descent == NESTEROV else speeds
    new = [vec.fma(rate, slope, one) for slope, one in zip(slopes, old, strict=True)]
    incoming, outgoing = new[: shape.features], new[shape.features :]
    if shape.squared:
        return new, speeds
    differences = [vec.builder.fsub(one, outgoing[-1]) for one in outgoing[:-1]]
    return [*incoming, *differences, *outgoing], speeds


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
    places = block_rows(vec, block, shape.rows)
    w = [vec.load(weights, place, vec.quad) for place in places]
    velocity: Any = None
    moving: Moving = ([], None, None)
    homes: list[Any] = []
    if shape.descent != PLAIN:
        velocity, momentum, decay = rest
        homes = block_rows(vec, block, shape.trained)
        before = [vec.load(velocity, home, vec.quad) for home in homes]
        moving = before, vec.spread(momentum, vec.quad), vec.spread(decay, vec.quad)
    new, speeds = descend(vec, shape, w, gradients(vec, shape, w, sums), rate, moving)
    for value, place in zip(new, places, strict=True):
        vec.store(value, weights, place)
    for value, home in zip(speeds, homes, strict=True):
        vec.store(value, velocity, home)
