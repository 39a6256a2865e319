"""The gradient of the loss with respect to the logits, sample by sample."""

from collections.abc import Callable
from functools import reduce
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]

from dynsweep.engines.compiled_shape import Shape, row
from dynsweep.engines.compiled_vectors import UNITS, Vectors, integer


def slopes(
    vec: Vectors,
    shape: Shape,
    logits: list[Any],
    weights: list[Any],
    sample: Callable[[], tuple[Any, Any]],
) -> list[Any]:
    """e_c = dF/dlogit_c of a vector of samples, for the heads.

    Of the cross-entropy G share (softmax(f)_c - [c = y]), which over all classes sum to 0; of the
    mean squared error G share 2/C (f_c - [c = y]).

    Args:
        logits: of the heads, biases included.
        weights: G of each class.
        sample: loads labels, integers, and shares 1 / P, 0 of padding: after the exponentials,
            which take all registers.
    """
    b, classes, powers = vec.builder, shape.classes, []
    none = vec.constant(0.0)
    if not shape.squared:
        logits = [*logits, none]
        most = reduce(vec.larger, logits)
        powers = vec.exp(*[b.fsub(logit, most) for logit in logits])
    label, share = sample()
    belongs = [b.icmp_signed("==", label, vec.constant(c, vec.ints)) for c in range(classes - 1)]
    weight = weights[-1]
    for c, own in enumerate(belongs):
        weight = b.select(own, weights[c], weight)
    weight = b.fmul(weight, share)
    if shape.squared:
        last = b.icmp_signed("==", label, vec.constant(classes - 1, vec.ints))
        weight = b.fmul(weight, vec.constant(2 / classes))
        targets = [b.select(own, vec.constant(1.0), none) for own in (*belongs, last)]
        return [b.fmul(weight, b.fsub(f, y)) for f, y in zip(logits, targets, strict=True)]
    scale = b.fdiv(weight, reduce(b.fadd, powers))
    return [
        b.fsub(b.fmul(power, scale), b.select(own, weight, none))
        for power, own in zip(powers, belongs, strict=False)
    ]


def biases(vec: Vectors, shape: Shape, b2: Any) -> list[Any]:
    """What is added to the logits of the heads."""
    each = [vec.element(b2, integer(c)) for c in range(shape.classes)]
    if shape.squared:
        return each
    return [vec.builder.fsub(bias, each[-1]) for bias in each[:-1]]


def emit_gradient(vec: Vectors, shape: Shape, *values: Any) -> None:
    """The rows ``q`` of the loss's gradient, and the ``totals`` of their last ones, that of b2.

    The logits ``z`` are left 0, ready for the next step.
    """
    samples, x, z, q, labels, shares, b2, class_weights, totals = values
    b, heads = vec.builder, range(shape.heads)
    offsets = biases(vec, shape, b2)
    weights = [vec.element(class_weights, integer(c)) for c in range(shape.classes)]

    def body(offset: Any, carried: list[Any]) -> list[Any]:
        def sample() -> tuple[Any, Any]:
            return vec.load(labels, offset, vec.ints), vec.load(shares, offset)

        logits = []
        for c, bias in enumerate(offsets):
            logits.append(b.fadd(vec.load(z, row(vec, c, samples, offset)), bias))
            vec.store(vec.constant(0.0), z, row(vec, c, samples, offset))
        found = slopes(vec, shape, logits, weights, sample)
        for i in range(shape.inputs + 1):
            one = vec.load(x, row(vec, i, samples, offset)) if i < shape.inputs else None
            for c, slope in enumerate(found):
                value = b.fmul(slope, one) if one else slope
                vec.store(value, q, row(vec, i * shape.heads + c, samples, offset))
        return [b.fadd(total, slope) for total, slope in zip(carried, found, strict=True)]

    none = vec.constant(0.0)
    quads = vec.quads(vec.over_samples(samples, [none] * shape.heads, body))
    for c in heads:
        lane = ir.Constant(ir.IntType(32), c % UNITS)
        b.store(b.extract_element(quads[c // UNITS], lane), b.gep(totals, [integer(c)]))
