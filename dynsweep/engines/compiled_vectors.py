"""Vector instructions for the compiled engine's passes, emitted through numba's LLVM builder.

The passes are built instruction by instruction because LLVM's own vectoriser leaves remainders
to scalar code, spills registers, and sums in an order of its choice. Here that order is fixed,
so a run gives the same bits wherever it stands in a batch; and without any fast-math flag inf
and nan keep their meaning. A vector is always 64 bytes: 16 float32 or 8 float64; processors
with shorter registers get each instruction split.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

BYTES = 64  # of a vector
UNITS = 4  # hidden units of a block, the lanes of a row of weights

# exp(x) = 2^n exp(x - n ln 2), by bits of a number: 1.5 * 2^(mantissa bits) rounds to integers
# when added, ln 2 comes in two parts, the polynomial is Taylor's of so many terms, and below the
# cut the result is 0 (no denormals).
MANTISSA = {32: 23, 64: 52}
LN2 = {32: (0.693359375, -2.12194440e-4), 64: (6.93145751953125e-1, 1.42860682030941723212e-6)}
TERMS, CUT = {32: 7, 64: 13}, {32: -69.0, 64: -600.0}
INT = ir.IntType(64)


def integer(value: int) -> Any:
    """A constant of 64 bits."""
    return ir.Constant(INT, value)


class Vectors:
    """Emits vector instructions on arrays of one dtype; ``lanes`` numbers to a vector."""

    def __init__(self, context: Any, builder: Any, kinds: Any) -> None:
        self.context, self.builder = context, builder
        self.bits = next(a.dtype.bitwidth for a in kinds if isinstance(a, types.Array))
        self.lanes = 8 * BYTES // self.bits
        self.scalar = ir.FloatType() if self.bits == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.ints = ir.VectorType(ir.IntType(self.bits), self.lanes)
        self.flags = ir.VectorType(ir.IntType(1), self.lanes)
        self.quad = ir.VectorType(self.scalar, UNITS)

    def plain(self, kinds: Any, values: Any) -> list[Any]:
        """The members of a numba tuple, arrays replaced by pointers to their data."""
        unpack: Any = cgutils.unpack_tuple
        values = unpack(self.builder, values, len(kinds))
        return [
            self.context.make_array(kind)(self.context, self.builder, value).data
            if isinstance(kind, types.Array)
            else value
            for kind, value in zip(kinds, values, strict=True)
        ]

    def constant(self, value: float, like: Any = None) -> Any:
        like = like or self.vector
        return ir.Constant(like, [value] * like.count)

    def load(self, data: Any, index: Any, like: Any = None) -> Any:
        """A vector from an array; rows of samples are aligned, weights need not be."""
        align = self.bits // 8 if like is self.quad else BYTES
        return self.builder.load(self._pointer(data, index, like or self.vector), align=align)

    def store(self, value: Any, data: Any, index: Any) -> None:
        align = self.bits // 8 if value.type == self.quad else BYTES
        self.builder.store(value, self._pointer(data, index, value.type), align=align)

    def _pointer(self, data: Any, index: Any, like: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [index]), like.as_pointer())

    def element(self, data: Any, index: Any) -> Any:
        """One number of an array in all lanes."""
        return self.spread(self.builder.load(self.builder.gep(data, [index])))

    def spread(self, value: Any, like: Any = None) -> Any:
        like = like or ir.VectorType(value.type, self.lanes)
        empty = ir.Constant(like, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
        return self.pick(first, first, [0] * like.count)

    def pick(self, a: Any, b: Any, lanes: Iterable[int]) -> Any:
        order = list(lanes)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
        return self.builder.shuffle_vector(a, b, mask)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c, fused where the processor can."""
        kind = ir.FunctionType(a.type, [a.type] * 3)
        name = f"llvm.fmuladd.v{a.type.count}f{self.bits}"
        declare: Any = cgutils.get_or_insert_function
        return self.builder.call(declare(self.builder.module, kind, name), [a, b, c])

    def dot(self, pairs: Iterable[tuple[Any, Any]], start: Any = None) -> Any:
        for a, b in pairs:
            start = self.builder.fmul(a, b) if start is None else self.fma(a, b, start)
        return start

    def positive(self, value: Any) -> Any:
        """Lanes above 0, and nan: it must not vanish behind a ReLU."""
        return self.builder.fcmp_unordered(">", value, self.constant(0.0, value.type))

    def larger(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def exp(self, x: Any) -> Any:
        """exp of x <= 0 to about one unit in the last place; nan stays nan."""
        b, terms, mantissa = self.builder, TERMS[self.bits], MANTISSA[self.bits]
        rounding, (high, low) = self.constant(1.5 * 2**mantissa), LN2[self.bits]
        shifted = self.fma(x, self.constant(1 / math.log(2)), rounding)
        n = b.fsub(rounding, shifted)  # minus the power of two
        r = self.fma(n, self.constant(low), self.fma(n, self.constant(high), x))
        value = self.constant(1 / math.factorial(terms))
        for k in reversed(range(terms)):
            value = self.fma(value, r, self.constant(1 / math.factorial(k)))
        power = b.shl(b.bitcast(shifted, self.ints), self.constant(mantissa, self.ints))
        value = b.bitcast(b.add(b.bitcast(value, self.ints), power), self.vector)
        small = b.fcmp_ordered("<", x, self.constant(CUT[self.bits]))
        value = b.select(small, self.constant(0.0), value)
        return b.select(b.fcmp_unordered("uno", x, x), x, value)

    def fold(self, vectors: Sequence[Any], groups: int) -> list[Any]:
        """Half as many vectors, each of two: their ``groups`` of lanes, summed to half size.

        Folded until a group is a lane, vectors become their totals, in order: the cheapest way
        to sum the lanes of many at once.
        """
        size = self.lanes // groups
        low = [lane for lane in range(2 * self.lanes) if lane % size < size // 2]
        high = [lane + size // 2 for lane in low]
        ends = [*vectors, vectors[-1]] if len(vectors) % 2 else vectors
        return [
            self.builder.fadd(self.pick(a, b, low), self.pick(a, b, high))
            for a, b in zip(ends[::2], ends[1::2], strict=True)
        ]

    def quads(self, vectors: Sequence[Any], groups: int = 1) -> list[Any]:
        """The totals of vectors folded into ``groups``, in quads of UNITS."""
        while groups < self.lanes:
            vectors = self.fold(vectors, groups)
            groups *= 2
        starts = range(0, self.lanes, UNITS)
        return [self.pick(v, v, range(k, k + UNITS)) for v in vectors for k in starts]

    def over_samples(
        self, count: Any, start: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """Repeat ``body(offset, carried)`` for every vector of ``count`` samples."""
        b = self.builder
        before, loop, after = b.block, b.append_basic_block(), b.append_basic_block()
        b.branch(loop)
        b.position_at_end(loop)
        offset = b.phi(INT)
        carried = [b.phi(value.type) for value in start]
        ends = body(offset, list(carried))
        following = b.add(offset, integer(self.lanes))
        for phi, first, end in zip(
            [offset, *carried], [integer(0), *start], [following, *ends], strict=True
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(end, b.block)
        b.cbranch(b.icmp_signed("<", following, count), loop, after)
        b.position_at_end(after)
        return ends
