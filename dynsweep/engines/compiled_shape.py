"""What is known of a network when its passes are compiled, and how passes become functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import types
from numba.extending import intrinsic

from dynsweep.engines.compiled_vectors import UNITS, Vectors, integer

PLAIN, MOMENTUM, NESTEROV = range(3)


class Shape(NamedTuple):
    """Where the weights of a block of UNITS units stand, in rows of UNITS numbers: ``features``
    rows of w1 (the last is b1 if there are biases), for the cross-entropy ``classes - 1`` of the
    differences v_c = w2_c - w2_last, ``classes`` of w2.

    Attributes:
        squared: whether the loss is the mean squared error.
        descent: PLAIN, or with momentum and weight decay, or those and Nesterov's.
    """

    inputs: int
    classes: int
    bias: int
    squared: int = 0
    descent: int = PLAIN

    @property
    def features(self) -> int:
        return self.inputs + self.bias

    @property
    def heads(self) -> int:
        """Logits that are computed: a softmax sees only their differences from the last one."""
        return self.classes if self.squared else self.classes - 1

    @property
    def seen(self) -> int:
        """Rows that logits are computed from: features, then heads."""
        return self.features + self.heads

    @property
    def outputs(self) -> int:
        """The first row of w2."""
        return self.features if self.squared else self.seen

    @property
    def rows(self) -> int:
        return self.outputs + self.classes

    @property
    def trained(self) -> int:
        """Rows of weights, and so of velocities: w1, b1 and w2."""
        return self.features + self.classes

    @property
    def code(self) -> int:
        """All in one number, which numba takes as a constant."""
        return sum(value << 8 * place for place, value in enumerate(self))

    @classmethod
    def of(cls, code: int) -> "Shape":
        return cls(*(code >> 8 * place & 255 for place in range(len(cls._fields))))


def compiled_pass(
    emit: Callable[..., Any],
    kind: type[Shape] = Shape,
    instructions: type[Vectors] = Vectors,
    result: Any = types.void,
) -> Any:
    """A numba function ``f(code, rest)`` whose body ``emit`` writes.

    ``code`` is a constant, of a Shape. Of the tuple ``rest``, ``emit`` gets scalars as they are
    and of arrays the pointer to their data.
    """

    def typed(context: Any, code: Any, rest: Any) -> Any:
        shape = kind.of(code.literal_value)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vectors = instructions(context, builder, rest)
            value = emit(vectors, shape, *vectors.plain(rest, args[1]))
            return context.get_dummy_value() if value is None else value

        return result(code, rest), generate

    return intrinsic(prefer_literal=True)(typed)


def row(vec: Vectors, number: int, samples: Any, offset: Any) -> Any:
    """The index of sample ``offset`` in a row of an array of rows of samples."""
    return vec.builder.add(vec.builder.mul(integer(number), samples), offset)


def block_rows(vec: Vectors, block: Any, rows: int) -> list[Any]:
    """The indices of a block's rows of UNITS numbers."""
    base = vec.builder.mul(block, integer(rows * UNITS))
    return [vec.builder.add(base, integer(number * UNITS)) for number in range(rows)]
