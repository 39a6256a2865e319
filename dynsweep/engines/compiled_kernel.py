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

Operations per step: 2 P H [I + (C - 1)] in forward, P H (I + 1)(C - 1) additions in backward:
for 2 inputs and 3 classes 4 multiply-adds, a comparison and 6 additions per unit and sample.
Textbook backpropagation would take 5 multiply-adds forward and 8 more with 2 other operations
backward. Nothing is computed twice: the bit replaces recomputing h in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dynsweep.engines.compiled_vectors import UNITS, Vectors, integer

TOGETHER = 2  # units of a block that share a pass; measured against 1 and 4
ROWS = 12  # most rows of q in a pass: sums of 2 units and 12 rows fit into 32 registers


class Shape:
    """Where a unit's weights stand: rows of UNITS numbers per block of UNITS units.

    ``features`` rows of w1 (the last is b1 if there are biases), ``classes - 1`` of v, then
    ``classes`` of w2.
    """

    def __init__(self, inputs: int, classes: int, bias: bool) -> None:
        self.inputs, self.classes, self.bias = inputs, classes, bias
        self.features = inputs + bias
        self.differences = self.features
        self.outputs = self.features + classes - 1
        self.rows = self.outputs + classes
        self.sums = self.features * (classes - 1)


def _pass(emit: Callable[..., None]) -> Any:
    """A numba function ``f(inputs, classes, bias, ...)`` whose body ``emit`` writes; the first
    three are compile-time constants."""

    def typed(context: Any, inputs: Any, classes: Any, bias: Any, *rest: Any) -> Any:
        if not all(isinstance(one, types.Literal) for one in (inputs, classes, bias)):
            return None
        shape = Shape(*(one.literal_value for one in (inputs, classes, bias)))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            emit(Vectors(context, builder, signature, args), shape, *args[3:])
            return context.get_dummy_value()

        return types.void(inputs, classes, bias, *rest), generate

    return typed
