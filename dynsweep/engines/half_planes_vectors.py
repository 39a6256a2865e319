"""Vector instructions that the half-plane passes need besides those of the dense ones."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

from dynsweep.engines.compiled_vectors import INT, Vectors, integer

WORD = ir.IntType(32)  # of lists of units, and of masks


class Lanes(Vectors):
    """Emits vector instructions on arrays that start anywhere, and on lists of units."""

    def __init__(self, context: Any, builder: Any, kinds: Any) -> None:
        super().__init__(context, builder, kinds)
        self.words = ir.VectorType(WORD, self.lanes)

    def get(self, data: Any, index: Any, like: Any = None) -> Any:
        """A vector, or a number, from anywhere in an array."""
        where = self._pointer(data, index, like or self.vector)
        return self.builder.load(where, align=self._align(data))

    def put(self, value: Any, data: Any, index: Any) -> None:
        where = self._pointer(data, index, value.type)
        self.builder.store(value, where, align=self._align(data))

    def _align(self, data: Any) -> int:
        return 4 if data.type.pointee == WORD else self.bits // 8

    def at(self, base: Any, *terms: Any) -> Any:
        """``base + a * b + ...`` of terms ``(a, b)`` or ``a``."""
        for term in terms:
            one = self.builder.mul(*map(self._number, term)) if isinstance(term, tuple) else term
            base = self.builder.add(self._number(base), self._number(one))
        return base

    def _number(self, value: Any) -> Any:
        return integer(value) if isinstance(value, int) else value

    def loop(
        self, count: Any, start: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """``carried = body(k, carried)`` for k from 0 to ``count - 1``; none if that is 0."""
        b = self.builder
        before, head = b.block, b.append_basic_block()
        inside, after = b.append_basic_block(), b.append_basic_block()
        b.branch(head)
        b.position_at_end(head)
        k = b.phi(INT)
        carried = [b.phi(value.type) for value in start]
        b.cbranch(b.icmp_signed("<", k, count), inside, after)
        b.position_at_end(inside)
        ends = [b.add(k, integer(1)), *body(k, list(carried))]
        for phi, first, end in zip([k, *carried], [integer(0), *start], ends, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(end, b.block)
        b.branch(head)
        b.position_at_end(after)
        return carried

    def absolute(self, value: Any) -> Any:
        kind = ir.FunctionType(value.type, [value.type])
        name = f"llvm.fabs.v{value.type.count}f{self.bits}"
        declare: Any = cgutils.get_or_insert_function
        return self.builder.call(declare(self.builder.module, kind, name), [value])

    def add_where(self, on: Any, total: Any, value: Any) -> Any:
        """``total + value`` in the lanes that are on."""
        b = self.builder
        if self.target.masks:  # a masked addition
            return b.select(on, b.fadd(total, value), total)
        return b.fadd(total, b.select(on, value, self.constant(0.0)))

    def fma_where(self, on: Any, a: Any, c: Any, total: Any) -> Any:
        """``total + a * c`` in the lanes that are on; elsewhere nan may come of an infinite c."""
        if self.target.masks:
            return self.builder.select(on, self.fma(a, c, total), total)
        return self.fma(self.builder.select(on, a, self.constant(0.0)), c, total)

    def mask(self, on: Any) -> Any:
        """The flags of lanes as the bits of a word."""
        bits = self.builder.bitcast(on, ir.IntType(self.lanes))
        return self.builder.zext(bits, WORD)

    def flags_of(self, word: Any) -> Any:
        return self.builder.bitcast(self.builder.trunc(word, ir.IntType(self.lanes)), self.flags)

    def compress(self, values: Any, on: Any) -> tuple[Any, Any]:
        """Words of the lanes that are on, moved to the front, and how many these are."""
        b, lanes = self.builder, self.lanes
        declare: Any = cgutils.get_or_insert_function
        bits = b.bitcast(on, ir.IntType(lanes))
        wide = b.zext(bits, INT)
        popcount = declare(b.module, ir.FunctionType(INT, [INT]), "llvm.ctpop.i64")
        count = b.call(popcount, [wide])
        if self.target.masks:
            kind = ir.FunctionType(self.words, [self.words, self.flags, self.words])
            name = f"llvm.experimental.vector.compress.v{lanes}i32"
            function = declare(b.module, kind, name)
            undefined = ir.Constant(self.words, ir.Undefined)
            return b.call(function, [values, on, undefined]), count
        # Without such an instruction: the numbers of the lanes that are on, from a table. Lists
        # are of consecutive units, so lane numbers are all that is needed.
        order = b.load(b.gep(self._orders(), [integer(0), wide]))
        first = b.extract_element(values, ir.Constant(WORD, 0))
        return b.add(self.spread(first), b.zext(order, self.words)), count

    def _orders(self) -> Any:
        """For each mask of lanes, the numbers of those that are on."""
        lanes, module = self.lanes, self.builder.module
        name = f"dynsweep.lanes.{lanes}"
        if name not in module.globals:
            row = ir.VectorType(ir.IntType(8), lanes)
            masks = [[n for n in range(lanes) if mask >> n & 1] for mask in range(2**lanes)]
            rows = [ir.Constant(row, on + [0] * (lanes - len(on))) for on in masks]
            kind = ir.ArrayType(row, len(rows))
            table = ir.GlobalVariable(module, kind, name)
            table.initializer = ir.Constant(kind, rows)
            table.global_constant, table.linkage = True, "internal"
        return module.globals[name]

    def deinterleave(self, vectors: Sequence[Any]) -> list[Any]:
        """Numbers ``k * R + row`` of R vectors on end as R vectors over k, one to a row."""
        if len(vectors) == 1:
            return list(vectors)
        count = vectors[0].type.count
        pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
        halves = [
            self.deinterleave([self.pick(a, c, range(odd, 2 * count, 2)) for a, c in pairs])
            for odd in (0, 1)
        ]
        return [one for pair in zip(*halves, strict=True) for one in pair]

    def interleave(self, rows: Sequence[Any]) -> list[Any]:
        """The way back."""
        if len(rows) == 1:
            return list(rows)
        count = rows[0].type.count
        even, odd = self.interleave(rows[::2]), self.interleave(rows[1::2])
        orders = [
            [start + k // 2 + (k % 2) * count for k in range(count)] for start in (0, count // 2)
        ]
        return [self.pick(a, c, order) for a, c in zip(even, odd, strict=True) for order in orders]
