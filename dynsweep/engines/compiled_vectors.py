"""Vector instructions for the compiled engine's passes, emitted through numba's LLVM builder.

The passes are built instruction by instruction because LLVM's own vectoriser leaves remainders
to scalar code, spills registers, and sums in an order of its choice. Here that order is fixed,
so a run gives the same bits wherever it stands in a batch; and without any fast-math flag inf
and nan keep their meaning. A vector is a register of the processor: 64 bytes with AVX-512, 32
with AVX, else 16.
"""

import math
import platform
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features

UNITS = 4  # hidden units of a block, the lanes of a row of weights

# exp(x) = 2^n exp(x - n ln 2), by bits of a number: 1.5 * 2^(mantissa bits) rounds to integers
# when added, ln 2 comes in two parts, the polynomial is Taylor's of so many terms, and below the
# cut the result is 0 (no denormals).
MANTISSA = {32: 23, 64: 52}
LN2 = {32: (0.693359375, -2.12194440e-4), 64: (6.93145751953125e-1, 1.42860682030941723212e-6)}
TERMS, CUT = {32: 7, 64: 13}, {32: -69.0, 64: -600.0}
AT_ONCE = 4  # exponentials
INT = ir.IntType(64)


class Processor(NamedTuple):
    """Its vector registers: bytes of one, and how many there are."""

    bytes: int
    registers: int

    @property
    def masks(self) -> bool:
        """Whether one instruction adds, or keeps what was there, lane by lane."""
        return self.bytes == 64


@cache
def processor() -> Processor:
    """Of the processor that numba compiles for."""
    chosen: Any = numba.config
    host: Any = get_host_cpu_features
    features = chosen.CPU_FEATURES
    have = set((host() if features is None else features).split(","))
    if {"+avx512f", "+avx512vl", "+avx512bw", "+avx512dq"} <= have:
        return Processor(64, 32)
    if "+avx" in have:
        return Processor(32, 16)
    return Processor(16, 32 if platform.machine().lower() in ("arm64", "aarch64") else 16)


def integer(value: int) -> Any:
    """A constant of 64 bits."""
    return ir.Constant(INT, value)


class Vectors:
    """Emits vector instructions on arrays of one dtype; ``lanes`` numbers to a vector."""

    def __init__(
        self, context: Any, builder: Any, kinds: Any, target: Processor | None = None
    ) -> None:
        self.context, self.builder, self.target = context, builder, target or processor()
        self.bits = next(a.dtype.bitwidth for a in kinds if isinstance(a, types.Array))
        self.lanes = 8 * self.target.bytes // self.bits
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
        align = self.bits // 8 if like is self.quad else self.target.bytes
        return self.builder.load(self._pointer(data, index, like or self.vector), align=align)

    def store(self, value: Any, data: Any, index: Any) -> None:
        align = self.bits // 8 if value.type == self.quad else self.target.bytes
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

    def packed(self, flags: Any) -> Any:
        """Flags of a vector as bits of a number, of whole bytes."""
        bits = self.builder.bitcast(flags, ir.IntType(self.lanes))
        return bits if self.lanes >= 8 else self.builder.zext(bits, ir.IntType(8))

    def unpacked(self, bits: Any) -> Any:
        """The flags back from their bits."""
        bits = bits if self.lanes >= 8 else self.builder.trunc(bits, ir.IntType(self.lanes))
        return self.builder.bitcast(bits, self.flags)

    def larger(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def exp(self, *xs: Any) -> list[Any]:
        """exp of x <= 0 to about one unit in the last place; nan stays nan. Of a few at a time:
        each constant of the polynomial then serves all, and needs no register of its own."""
        if len(xs) > AT_ONCE:
            return [*self.exp(*xs[:AT_ONCE]), *self.exp(*xs[AT_ONCE:])]
        b, terms, mantissa = self.builder, TERMS[self.bits], MANTISSA[self.bits]
        rounding, (high, low) = self.constant(1.5 * 2**mantissa), LN2[self.bits]
        shifted = [self.fma(x, self.constant(1 / math.log(2)), rounding) for x in xs]
        n = [b.fsub(rounding, one) for one in shifted]  # minus the power of two
        rest = [self.fma(one, self.constant(high), x) for one, x in zip(n, xs, strict=True)]
        rest = [self.fma(one, self.constant(low), r) for one, r in zip(n, rest, strict=True)]
        values = [self.constant(1 / math.factorial(terms))] * len(xs)
        for k in reversed(range(terms)):
            term = self.constant(1 / math.factorial(k))
            values = [self.fma(value, r, term) for value, r in zip(values, rest, strict=True)]
        results = []
        for x, value, one in zip(xs, values, shifted, strict=True):
            power = b.shl(b.bitcast(one, self.ints), self.constant(mantissa, self.ints))
            whole = b.bitcast(b.add(b.bitcast(value, self.ints), power), self.vector)
            small = b.fcmp_ordered("<", x, self.constant(CUT[self.bits]))
            whole = b.select(small, self.constant(0.0), whole)
            results.append(b.select(b.fcmp_unordered("uno", x, x), x, whole))
        return results

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
        if self.lanes < UNITS:  # a quad is two vectors
            ends = [*vectors, vectors[-1]]
            pairs = zip(ends[::2], ends[1::2], strict=False)
            return [self.pick(a, b, range(UNITS)) for a, b in pairs]
        starts = range(0, self.lanes, UNITS)
        return [self.pick(v, v, range(k, k + UNITS)) for v in vectors for k in starts]

    def transposed(self, quads: Sequence[Any]) -> list[Any]:
        """UNITS quads; the first of the results has their first lanes, and so on."""
        a, b, c, d = quads
        halves = [
            (self.pick(a, b, lanes), self.pick(c, d, lanes))
            for lanes in ((0, 4, 1, 5), (2, 6, 3, 7))
        ]
        return [
            self.pick(*half, lanes) for half in halves for lanes in ((0, 1, 4, 5), (2, 3, 6, 7))
        ]

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
