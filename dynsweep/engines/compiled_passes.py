"""The compiled training of one run: gradient descent on the one-hidden-layer model.

Vector lanes run over the samples, which are padded with samples of share 0. A run's weights,
the logits and what the gradient needs of a tile of samples stay in the first-level cache from
step to step, and a step is three passes (P samples, I inputs, C classes, H hidden units):

``forward``   h = relu(x w1 + b1); z_c += h v_c for C - 1 classes, with v_c = w2_c - w2_last, as a
              softmax sees only differences of logits. One bit per unit and sample says h > 0.
``softmax``   e_c = dF/dlogit_c of those C - 1 classes (over all classes they sum to 0), and the
              rows q = (x_1 e_c, ..., x_I e_c, e_c).
``backward``  S = sum of q over the samples where the unit is active: (I + 1)(C - 1) masked
              additions and nothing else. All gradients of the unit follow from S,
              dw1_i = sum_c v_c S_ic, dw2_c = sum_i w1_i S_ic + b1 S_c, with no second look at
              the samples; the weights are updated on the spot.

For 2 inputs and 3 classes: 4 multiply-adds, a comparison and 6 additions per unit and sample;
textbook backpropagation takes 13 multiply-adds and 2 other operations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from dynsweep.engines.compiled_vectors import UNITS, Vectors, integer

TOGETHER = 2  # units of a block that share a pass and then a vector; measured against 1 and 4
ROWS = 12  # most rows of q in a pass: sums of 2 units and 12 rows fit into 32 registers


@dataclass(frozen=True)
class Shape:
    """Where the weights of a block of UNITS units stand, in rows of UNITS numbers: ``features``
    rows of w1 (the last is b1 if there are biases), ``classes - 1`` of v, ``classes`` of w2."""

    inputs: int
    classes: int
    bias: int

    @property
    def features(self) -> int:
        return self.inputs + self.bias

    @property
    def outputs(self) -> int:
        """The first row of w2."""
        return self.features + self.classes - 1

    @property
    def rows(self) -> int:
        return self.outputs + self.classes


def _pass(emit: Callable[..., None]) -> Any:
    """A numba function ``f(inputs, classes, bias, rest)`` whose body ``emit`` writes.

    The first three arguments are compile-time constants. Of the tuple ``rest``, ``emit`` gets
    scalars as they are and of arrays the pointer to their data.
    """

    def typed(context: Any, inputs: Any, classes: Any, bias: Any, rest: Any) -> Any:
        shape = Shape(inputs.literal_value, classes.literal_value, bias.literal_value)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vectors = Vectors(context, builder, rest)
            emit(vectors, shape, *vectors.plain(rest, args[3]))
            return context.get_dummy_value()

        return types.void(inputs, classes, bias, rest), generate

    return intrinsic(prefer_literal=True)(typed)


def _row(vec: Vectors, row: int, samples: Any, offset: Any) -> Any:
    """The index of sample ``offset`` in a row of an array of rows of samples."""
    return vec.builder.add(vec.builder.mul(integer(row), samples), offset)


def _bit(vec: Vectors, active: Any, block: Any, samples: Any, offset: Any, unit: int) -> Any:
    """Where a vector's worth of "h > 0" is kept."""
    b = vec.builder
    start = b.sdiv(b.add(b.mul(block, samples), offset), integer(vec.lanes))
    return b.gep(active, [b.add(b.mul(start, integer(UNITS)), integer(unit))])


def _forward(
    vec: Vectors, shape: Shape, weights: Any, block: Any, samples: Any, x: Any, z: Any, active: Any
) -> None:
    """Add a block's hidden units to the logits ``z``, and note where they are active."""
    b, base = vec.builder, vec.builder.mul(block, integer(shape.rows * UNITS))

    def units(first: int) -> None:
        mine = range(first, first + TOGETHER)
        w = {
            (row, unit): vec.element(weights, b.add(base, integer(row * UNITS + unit)))
            for row in range(shape.outputs)
            for unit in mine
        }

        def body(offset: Any, carried: list[Any]) -> list[Any]:
            inputs = [vec.load(x, _row(vec, i, samples, offset)) for i in range(shape.inputs)]
            places = [_row(vec, c, samples, offset) for c in range(shape.classes - 1)]
            logits = [vec.load(z, place) for place in places]
            for unit in mine:
                start = w[shape.inputs, unit] if shape.bias else None
                h = vec.dot([(w[i, unit], one) for i, one in enumerate(inputs)], start)
                on = vec.positive(h)
                bits = b.bitcast(on, ir.IntType(vec.lanes))
                b.store(bits, _bit(vec, active, block, samples, offset, unit))
                for c, logit in enumerate(logits):
                    more = vec.fma(h, w[shape.features + c, unit], logit)
                    logits[c] = b.select(on, more, logit)
            for place, logit in zip(places, logits, strict=True):
                vec.store(logit, z, place)
            return carried

        vec.over_samples(samples, [], body)

    for first in range(0, UNITS, TOGETHER):
        units(first)


def _softmax(vec: Vectors, shape: Shape, *values: Any) -> None:
    """The rows ``q`` of the loss's gradient, and the ``totals`` of their last C - 1, that of b2.

    The logits ``z`` are left 0, ready for the next step.
    """
    samples, x, z, q, labels, shares, b2, class_weights, totals = values
    b, classes = vec.builder, shape.classes
    last = vec.element(b2, integer(classes - 1))
    biases = [b.fsub(vec.element(b2, integer(c)), last) for c in range(classes - 1)]
    weights = [vec.element(class_weights, integer(c)) for c in range(classes)]

    def body(offset: Any, carried: list[Any]) -> list[Any]:
        label = vec.load(labels, offset, vec.ints)
        belongs = [
            b.icmp_signed("==", label, vec.constant(c, vec.ints)) for c in range(classes - 1)
        ]
        weight = weights[-1]
        for c, own in enumerate(belongs):
            weight = b.select(own, weights[c], weight)
        weight = b.fmul(weight, vec.load(shares, offset))
        logits = []
        for c, bias in enumerate(biases):
            logits.append(b.fadd(vec.load(z, _row(vec, c, samples, offset)), bias))
            vec.store(vec.constant(0.0), z, _row(vec, c, samples, offset))
        logits.append(vec.constant(0.0))
        most = reduce(vec.larger, logits)
        powers = [vec.exp(b.fsub(logit, most)) for logit in logits]
        scale = b.fdiv(weight, reduce(b.fadd, powers))
        slopes = []
        for c in range(classes - 1):
            target = b.select(belongs[c], weight, vec.constant(0.0))
            slopes.append(b.fsub(b.fmul(powers[c], scale), target))
        for i in range(shape.inputs + 1):
            one = vec.load(x, _row(vec, i, samples, offset)) if i < shape.inputs else None
            for c, slope in enumerate(slopes):
                row = b.fmul(slope, one) if one else slope
                vec.store(row, q, _row(vec, i * (classes - 1) + c, samples, offset))
        return [b.fadd(total, slope) for total, slope in zip(carried, slopes, strict=True)]

    none = vec.constant(0.0)
    quads = vec.quads(vec.over_samples(samples, [none] * (classes - 1), body))
    for c in range(classes - 1):
        lane = ir.Constant(ir.IntType(32), c % UNITS)
        b.store(b.extract_element(quads[c // UNITS], lane), b.gep(totals, [integer(c)]))


def _backward(vec: Vectors, shape: Shape, *values: Any) -> None:
    """Sum ``q`` where each unit of a block is active, and take the step of its weights."""
    weights, block, samples, q, active, lr, one = values
    b, base = vec.builder, vec.builder.mul(block, integer(shape.rows * UNITS))
    # Processors with separate pipes for additions and multiply-adds (Zen) use both if every
    # other sum is a multiply-add by a one that the compiler cannot see through.
    one, none = vec.spread(one), vec.constant(0.0)

    def partial_sums(mine: range, rows: range) -> list[Any]:
        def body(offset: Any, carried: list[Any]) -> list[Any]:
            on = [
                b.bitcast(b.load(_bit(vec, active, block, samples, offset, unit)), vec.flags)
                for unit in mine
            ]
            sums = []
            for n, row in enumerate(rows):
                value = vec.load(q, _row(vec, row, samples, offset))
                for k in range(TOGETHER):
                    old = carried[n * TOGETHER + k]
                    new = vec.fma(one, value, old) if (n + k) % 2 else b.fadd(old, value)
                    sums.append(b.select(on[k], new, old))
            return sums

        ends = vec.over_samples(samples, [none] * (len(rows) * TOGETHER), body)
        return vec.fold(ends, 1)

    count = shape.features * (shape.classes - 1)
    passes = -(-count // ROWS)
    total: list[Any] = []
    for part in range(passes):
        rows = range(part * count // passes, (part + 1) * count // passes)
        pairs = [
            partial_sums(range(first, first + TOGETHER), rows)
            for first in range(0, UNITS, TOGETHER)
        ]
        total += vec.quads([one for row in zip(*pairs, strict=True) for one in row], 2)[
            : len(rows)
        ]
    _update(vec, shape, weights, base, total, vec.spread(b.fneg(lr), vec.quad))


def _update(
    vec: Vectors, shape: Shape, weights: Any, base: Any, sums: list[Any], rate: Any
) -> None:
    """``w -= lr dF/dw`` for UNITS units at once, from ``sums`` S_ic; ``rate`` is -lr."""
    b, features, differences = vec.builder, range(shape.features), range(shape.classes - 1)
    places = [b.add(base, integer(row * UNITS)) for row in range(shape.rows)]
    w = [vec.load(weights, place, vec.quad) for place in places]
    s = {(i, c): sums[i * (shape.classes - 1) + c] for i in features for c in differences}
    new = []
    for i in features:
        slope = vec.dot((s[i, c], w[shape.features + c]) for c in differences)
        new.append(vec.fma(rate, slope, w[i]))
    slopes = [vec.dot((s[i, c], w[i]) for i in features) for c in differences]
    slopes.append(b.fneg(reduce(b.fadd, slopes)))
    w2 = [vec.fma(rate, slope, w[shape.outputs + c]) for c, slope in enumerate(slopes)]
    new += [b.fsub(w2[c], w2[-1]) for c in differences]
    for value, place in zip(new + w2, places, strict=True):
        vec.store(value, weights, place)


forward, softmax, backward = _pass(_forward), _pass(_softmax), _pass(_backward)
