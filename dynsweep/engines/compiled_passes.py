"""The compiled training of one run: gradient descent on the one-hidden-layer model.

Vector lanes run over the samples, which are padded with samples of share 0. A run's weights,
the logits and what the gradient needs of a tile of samples stay in the first-level cache from
step to step, and a step is three passes (P samples, I inputs, C classes, H hidden units):

``forward``   h = relu(x w1 + b1); z_c += h v_c for C - 1 classes, with v_c = w2_c - w2_last, as a
              softmax sees only differences of logits. One bit per unit and sample says h > 0.
``gradient``  e_c = dF/dlogit_c of those C - 1 classes (over all classes they sum to 0), and the
              rows q = (x_1 e_c, ..., x_I e_c, e_c).
``backward``  S = sum of q over the samples where the unit is active: (I + 1)(C - 1) masked
              additions and nothing else. All gradients of the unit follow from S,
              dw1_i = sum_c v_c S_ic, dw2_c = sum_i w1_i S_ic + b1 S_c, with no second look at
              the samples; the weights are updated on the spot.

For 2 inputs and 3 classes: 4 multiply-adds, a comparison and 6 additions per unit and sample;
textbook backpropagation takes 13 multiply-adds and 2 other operations. The mean squared error
sees all C logits: with v = w2 itself, C takes the place of C - 1.
"""

from typing import Any

from dynsweep.engines.compiled_loss import emit_gradient
from dynsweep.engines.compiled_shape import Shape, block_rows, compiled_pass, row
from dynsweep.engines.compiled_update import update
from dynsweep.engines.compiled_vectors import UNITS, Vectors, integer

FORWARD = {32: 2, 16: 2}  # units whose weights stay in registers together, by their number
# Of the backward pass: units, and rows of q at most, whose sums do.
BACKWARD = {32: (2, 12), 16: (1, 8)}


def _bit(vec: Vectors, active: Any, block: Any, samples: Any, offset: Any, unit: int) -> Any:
    """Where a vector's worth of "h > 0" is kept."""
    b = vec.builder
    shift = integer(vec.lanes.bit_length() - 1)
    start = b.lshr(b.add(b.mul(block, samples), offset), shift)
    return b.gep(active, [b.add(b.mul(start, integer(UNITS)), integer(unit))])


def _forward(
    vec: Vectors, shape: Shape, weights: Any, block: Any, samples: Any, x: Any, z: Any, active: Any
) -> None:
    """Add a block's hidden units to the logits ``z``, and note where they are active."""
    b, places = vec.builder, block_rows(vec, block, shape.rows)
    together = FORWARD[vec.target.registers]

    def units(mine: range) -> None:
        w = {
            (number, unit): vec.element(weights, b.add(places[number], integer(unit)))
            for number in range(shape.seen)
            for unit in mine
        }

        def body(offset: Any, carried: list[Any]) -> list[Any]:
            inputs = [vec.load(x, row(vec, i, samples, offset)) for i in range(shape.inputs)]
            homes = [row(vec, c, samples, offset) for c in range(shape.heads)]
            logits = [vec.load(z, home) for home in homes]
            for unit in mine:
                start = w[shape.inputs, unit] if shape.bias else None
                h = vec.dot([(w[i, unit], one) for i, one in enumerate(inputs)], start)
                on = vec.positive(h)
                b.store(vec.packed(on), _bit(vec, active, block, samples, offset, unit))
                if not vec.target.masks:
                    h = b.select(on, h, vec.constant(0.0))
                for c, logit in enumerate(logits):
                    more = vec.fma(h, w[shape.features + c, unit], logit)
                    logits[c] = b.select(on, more, logit) if vec.target.masks else more
            for home, logit in zip(homes, logits, strict=True):
                vec.store(logit, z, home)
            return carried

        vec.over_samples(samples, [], body)

    for first in range(0, UNITS, together):
        units(range(first, first + together))


def _backward(vec: Vectors, shape: Shape, *values: Any) -> None:
    """Sum ``q`` where each unit of a block is active, and take the step of its weights."""
    weights, block, samples, q, active, totals, lr, one, *rest = values
    b = vec.builder
    # Processors with separate pipes for additions and multiply-adds (Zen) use both if every
    # other sum is a multiply-add by a one that the compiler cannot see through.
    one, none = vec.spread(one), vec.constant(0.0)
    together, most = BACKWARD[vec.target.registers]

    def partial_sums(mine: range, rows: range) -> list[Any]:
        def body(offset: Any, carried: list[Any]) -> list[Any]:
            on = [
                vec.unpacked(b.load(_bit(vec, active, block, samples, offset, unit)))
                for unit in mine
            ]
            sums = []
            for n, number in enumerate(rows):
                value = vec.load(q, row(vec, number, samples, offset))
                for k in range(together):
                    old = carried[n * together + k]
                    if vec.target.masks:
                        new = vec.fma(one, value, old) if (n + k) % 2 else b.fadd(old, value)
                        sums.append(b.select(on[k], new, old))
                    else:
                        sums.append(b.fadd(old, b.select(on[k], value, none)))
            return sums

        return vec.over_samples(samples, [none] * (len(rows) * together), body)

    count = shape.features * shape.heads
    passes = -(-count // most)
    total: list[Any] = []
    for part in range(passes):
        rows = range(part * count // passes, (part + 1) * count // passes)
        groups = [range(first, first + together) for first in range(0, UNITS, together)]
        if together == 1:
            # A unit's totals go to memory: in registers there is no room for another's sums.
            quads = -(-len(rows) // UNITS)
            for unit, mine in enumerate(groups):
                for k, quad in enumerate(vec.quads(partial_sums(mine, rows))[:quads]):
                    vec.store(quad, totals, integer((k * UNITS + unit) * UNITS))
            for k in range(quads):
                homes = [integer((k * UNITS + unit) * UNITS) for unit in range(UNITS)]
                total += vec.transposed([vec.load(totals, home, vec.quad) for home in homes])
            total = total[: rows.stop]
        else:
            pairs = zip(*[vec.fold(partial_sums(mine, rows), 1) for mine in groups], strict=True)
            total += vec.quads([sums for pair in pairs for sums in pair], 2)[: len(rows)]
    update(vec, shape, weights, block, total, vec.spread(b.fneg(lr), vec.quad), tuple(rest))


forward, gradient, backward = map(compiled_pass, (_forward, emit_gradient, _backward))
