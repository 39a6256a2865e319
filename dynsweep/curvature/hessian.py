"""Products with the Hessian of every run's loss at once."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Hessian:
    """The Hessian of each run's loss, as a linear map.

    Runs do not interact: the gradient of the summed losses holds each run's own gradient, and
    one more differentiation multiplies each run's Hessian with its own vector.

    Args:
        losses: shape ``(runs,)``, with the graph that made them.
        params: what they depend on, each of shape ``(runs, ...)``.

    Attributes:
        size: numbers in the parameters of one run.
    """

    def __init__(self, losses: Tensor, params: Sequence[Tensor]) -> None:
        self.params = list(params)
        gradients = torch.autograd.grad(losses.sum(), self.params, create_graph=True)
        self.gradient = _flat(gradients)
        self.size = self.gradient.shape[1]

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """``(runs, size)`` to ``(runs, size)``."""
        inner = (self.gradient * vectors).sum()
        if not inner.requires_grad:  # a loss linear in its parameters
            return torch.zeros_like(vectors)
        products = torch.autograd.grad(
            inner, self.params, retain_graph=True, materialize_grads=True
        )
        return _flat(products)


def _flat(values: Sequence[Tensor]) -> Tensor:
    return torch.cat([value.flatten(1) for value in values], dim=1)
