"""The passes of training by half-planes: a unit is on at one side of a line, and off beyond.

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
from typing import Any

from numba import types

from dynsweep.engines.compiled_shape import Shape, compiled_pass
from dynsweep.engines.half_planes_vectors import Lanes

SUBSET = 4  # points whose subsets are tabulated together
TOGETHER = 4  # units to a turn of a loop: it ends less often, and mostly where it did before


def power(number: int) -> int:
    """The least power of two that is not below."""
    return 1 << (number - 1).bit_length()


class Planes(Shape):
    """Rows of weights as in the dense passes, of all units on end; and an entry of sums: heads
    side by side for each feature, filled up to a power of two."""

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


def emitted(emit: Callable[..., Any], result: Any = types.void) -> Any:
    """A numba function ``f(code, rest)`` whose body ``emit`` writes."""
    return compiled_pass(emit, Planes, Lanes, result)
