"""The passes of training by half-planes: a unit at a point is on, or off, on either side of a line.

Points stand in groups of neighbours, one to a lane of a vector. Of a group and a unit, its box
says whether the unit is on at all of the group's points, off at all, or cut (C classes, heads
c = 0 ... C - 2 with v_c = w2_c - w2_last, features i: the inputs and the bias's 1):

``classify``  lanes over units: adds w_i v_c of those that are on, (I + 1)(C - 1) numbers, to the
              group's affine function of x, and lists those that are cut.
``forward``   the group's logits: the affine function, and the cut units point by point, whose
              signs are kept as a mask.
``tabulate``  after the softmax: of every four points the sums of q = x_i e_c over each of their
              16 subsets; of all points, the group's sum.
``select``    adds to each cut unit the four or so entries that its mask names: additions of
              (I + 1)(C - 1) numbers where the dense pass adds as many vectors.
``update``    lanes over units: adds the sums of the groups that are wholly on, and takes the step.

Where points are many, groups of groups are classified first. ``refine`` classifies the groups of
one, a lane to each, for the units that cut it; ``choose`` lists the units that cut a group.
Its sums of groups are selected as those of points are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from dynsweep.engines.compiled_vectors import integer
from dynsweep.engines.half_planes_vectors import WORD, Lanes

SUBSET = 4  # points whose subsets are tabulated together
TOGETHER = 4  # units to a turn of a loop: it ends less often, and mostly where it did before


def power(number: int) -> int:
    """The least power of two that is not below."""
    return 1 << (number - 1).bit_length()


@dataclass(frozen=True)
class Shape:
    """Of a model, its rows of weights (``features`` of w1 with b1 last, ``heads`` of v, C of w2),
    and an entry of sums: heads side by side for each feature, filled up to a power of two."""

    inputs: int
    heads: int
    bias: int

    @property
    def features(self) -> int:
        return self.inputs + self.bias

    @property
    def outputs(self) -> int:
        """The first row of w2."""
        return self.features + self.heads

    @property
    def rows(self) -> int:
        return self.outputs + self.heads + 1

    @property
    def step(self) -> int:
        """Numbers of an entry between two features."""
        return power(self.heads)

    @property
    def entry(self) -> int:
        return power(max(2, self.features * self.step))

    @property
    def derived(self) -> int:
        """Rows of what follows from the weights: all w_i v_c, and all |w1|."""
        return self.features * self.heads + self.inputs

    def place(self, feature: int, head: int) -> int:
        return feature * self.step + head


def _pass(emit: Callable[..., Any], result: Any = types.void) -> Any:
    """A numba function ``f(inputs, heads, bias, size, rest)`` whose body ``emit`` writes; see
    ``compiled_passes``. ``size`` is that of vectors, in bytes."""

    def typed(context: Any, inputs: Any, heads: Any, bias: Any, size: Any, rest: Any) -> Any:
        shape = Shape(inputs.literal_value, heads.literal_value, bias.literal_value)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            lanes = Lanes(context, builder, rest, size.literal_value)
            value = emit(lanes, shape, *lanes.plain(rest, args[4]))
            return context.get_dummy_value() if value is None else value

        return result(inputs, heads, bias, size, rest), generate

    return intrinsic(prefer_literal=True)(typed)


def _products(vec: Lanes, shape: Shape, w: list[Any]) -> list[Any]:
    """The derived rows of weights ``w``."""
    v = w[shape.features : shape.outputs]
    every = [vec.builder.fmul(one, c) for one in w[: shape.features] for c in v]
    return every + [vec.absolute(one) for one in w[: shape.inputs]]


def _derive(vec: Lanes, shape: Shape, units: Any, derived: Any, stride: Any) -> None:
    """The derived rows of all units."""

    def body(k: Any, carried: list[Any]) -> list[Any]:
        first = vec.at(0, (k, vec.lanes))
        w = [vec.get(units, vec.at(first, (stride, r))) for r in range(shape.outputs)]
        for r, value in enumerate(_products(vec, shape, w)):
            vec.put(value, derived, vec.at(first, (stride, r)))
        return []

    vec.loop(vec.builder.sdiv(stride, integer(vec.lanes)), [], body)


def _sides(vec: Lanes, shape: Shape, box: list[Any], w: list[Any], sizes: list[Any]) -> Any:
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


def _classify(vec: Lanes, shape: Shape, *values: Any) -> Any:
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


def _refine(vec: Lanes, shape: Shape, *values: Any) -> None:
    """Classify the groups of a group, one in a lane, for the ``n`` units ``cut`` of it: adds those
    that are on to ``affine``, from one function to a row of lanes; ``on`` and ``crossed`` get a
    mask of groups to a unit."""
    units, stride, inner, box, cut, n, affine, on_masks, masks = values
    b, inputs, count = vec.builder, shape.inputs, shape.features * shape.heads
    at = vec.at(0, (box, 2 * inputs * vec.lanes))
    edges = [vec.get(inner, vec.at(at, integer(k * vec.lanes))) for k in range(2 * inputs)]

    def body(k: Any, sums: list[Any]) -> list[Any]:
        unit = b.zext(vec.get(cut, k, WORD), integer(0).type)
        w = [vec.element(units, vec.at(unit, (stride, r))) for r in range(shape.outputs)]
        sizes = [vec.absolute(one) for one in w[:inputs]]
        on, crossed = _sides(vec, shape, edges, w, sizes)
        vec.put(vec.mask(on), on_masks, k)
        vec.put(vec.mask(crossed), masks, k)
        for i in range(shape.features):
            h = w[i] if vec.size == 64 else b.select(on, w[i], vec.constant(0.0))
            for c in range(shape.heads):
                r, v = i * shape.heads + c, w[shape.features + c]
                more = vec.fma(h, v, sums[r])
                sums[r] = b.select(on, more, sums[r]) if vec.size == 64 else more
        return sums

    start = [vec.element(affine, integer(r)) for r in range(count)]
    for r, total in enumerate(vec.loop(n, start, body)):
        vec.put(total, affine, integer(r * vec.lanes))
    for filled in (on_masks, masks):
        vec.put(ir.Constant(vec.words, [0] * vec.lanes), filled, n)


def _choose(vec: Lanes, shape: Shape, *values: Any) -> Any:
    """Those of the ``n`` units ``cut`` whose mask has bit ``group``, to ``chosen`` from ``first``;
    returns how many these are."""
    _, stride, cut, masks, n, group, chosen, first = values
    b = vec.builder
    if vec.size == 64:
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
            mask = b.zext(vec.get(masks, k, WORD), integer(0).type)
            return [b.add(carried[0], b.and_(b.lshr(mask, group), integer(1)))]

        (end,) = vec.loop(n, [first], single)
    _fill(vec, stride, chosen, end)
    return b.sub(end, first)


def _forward(vec: Lanes, shape: Shape, *values: Any) -> None:
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
        unit = b.zext(vec.get(cut, where, WORD), integer(0).type)
        w = [vec.element(units, vec.at(unit, (stride, r))) for r in range(shape.outputs)]
        bias = w[shape.inputs] if shape.bias else None
        h = vec.dot([(one, w[i]) for i, one in enumerate(inputs)], bias)
        on = vec.positive(h)
        vec.put(vec.mask(on), masks, where)
        v = w[shape.features :]
        return [vec.fma_where(on, h, v[c], logit) for c, logit in enumerate(logits)]

    # So many units at a time, in sums of their own: the processor need not wait for each.
    sets = max(1, (8 if vec.size == 64 else 4) // heads)

    def several(k: Any, carried: list[Any]) -> list[Any]:
        at = b.mul(k, integer(TOGETHER))
        sums = [carried[heads * j : heads * (j + 1)] for j in range(sets)]
        for j in range(TOGETHER):
            sums[j % sets] = one(b.add(at, integer(j)), sums[j % sets])
        return [total for some in sums for total in some]

    ends = vec.loop(n, start + [vec.constant(0.0)] * (heads * (sets - 1)), several)
    for c in range(heads):
        vec.put(reduce(b.fadd, ends[c::heads]), z, vec.at(place, (padded, c)))


def _subsets(vec: Lanes, shape: Shape, rows: list[Any], table: Any) -> Any:
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


def _tabulate(vec: Lanes, shape: Shape, *values: Any) -> None:
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


def _tabulate_sums(vec: Lanes, shape: Shape, *values: Any) -> None:
    """The table of ``lanes`` rows of ``sums``, and their sum as row ``row`` of ``totals``."""
    sums, table, totals, row = values
    entry = ir.VectorType(vec.scalar, shape.entry)
    rows = [vec.get(sums, integer(k * shape.entry), entry) for k in range(vec.lanes)]
    vec.put(_subsets(vec, shape, rows, table), totals, vec.at(0, (row, shape.entry)))


def _select(vec: Lanes, shape: Shape, *values: Any) -> None:
    """Add to each unit's ``sums`` the entries of the table that its mask names; n as above."""
    table, sums, listed, masks, first, n = values
    b, entry = vec.builder, ir.VectorType(vec.scalar, shape.entry)

    def one(where: Any) -> None:
        unit = b.zext(vec.get(listed, where, WORD), integer(0).type)
        mask = b.zext(vec.get(masks, where, WORD), integer(0).type)
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


def descend(vec: Lanes, shape: Shape, w: list[Any], s: dict[tuple[int, int], Any], rate: Any) -> Any:
    """The weights after a step of gradient descent, from sums S_ic; ``rate`` is minus its length."""
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
    s = {pair: b.fadd(total, rows[shape.place(*pair)]) for total, pair in zip(whole, pairs, strict=True)}
    at = [vec.at(first, (stride, r)) for r in range(shape.rows)]
    w = [vec.get(units, one) for one in at]
    w = descend(vec, shape, w, s, vec.spread(b.fneg(lr)))
    for value, one in zip(w, at, strict=True):
        vec.put(value, units, one)
    for r, value in enumerate(_products(vec, shape, w)):
        vec.put(value, derived, vec.at(first, (stride, r)))


derive, refine, forward = _pass(_derive), _pass(_refine), _pass(_forward)
classify, choose = _pass(_classify, types.int64), _pass(_choose, types.int64)
tabulate, tabulate_sums = _pass(_tabulate), _pass(_tabulate_sums)
select, update = _pass(_select), _pass(_update)
