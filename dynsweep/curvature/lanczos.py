"""The Hessian of every run's loss at once, and its largest eigenvalues by Lanczos' method."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

MOST = 100  # products for one spectrum


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


class SlicedHessian:
    """As :class:`Hessian`, of a sum over slices of the samples, whose graphs would not fit into
    memory all at once: each is made anew for every product.

    Args:
        slices: each makes its part of the losses.
    """

    def __init__(self, slices: Sequence[Callable[[], Tensor]], params: Sequence[Tensor]) -> None:
        self.slices, self.params = slices, params
        self.size = sum(param[0].numel() for param in params)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        total = torch.zeros_like(vectors)
        for losses in self.slices:
            total += Hessian(losses(), self.params) @ vectors
        return total


def _flat(values: Sequence[Tensor]) -> Tensor:
    return torch.cat([value.flatten(1) for value in values], dim=1)


class Spectrum(NamedTuple):
    """The largest eigenvalues found.

    Attributes:
        values: algebraically largest first, shape ``(runs, count)``.
        residuals: length of ``A x - value x`` for the unit vectors ``x`` found, same shape: an
            eigenvalue lies within so much of each value.
        order: products that were taken.
        vector: unit eigenvector of the largest value, shape ``(runs, size)``.
    """

    values: Tensor
    residuals: Tensor
    order: int
    vector: Tensor


def largest(
    matrix: Any,
    start: Tensor,
    count: int = 1,
    *,
    tolerance: float = 1e-3,
    order: int | None = None,
) -> Spectrum:
    """Lanczos with full reorthogonalisation, twice, all runs in step.

    Ends when every run's residuals are below ``tolerance`` times its largest value in size, or
    after ``MOST`` products. With ``order`` it takes just so many (the authors' notebook: 10). Runs
    whose Krylov space is exhausted go on with a new random direction.

    Args:
        matrix: symmetric maps, one for every run; ``matrix @ vectors`` keeps ``(runs, size)``.
        start: first directions ``(runs, size)``, not 0.
        count: how many eigenvalues.
    """
    runs, size = start.shape
    most = min(order or MOST, size)
    tiny = torch.finfo(start.dtype).tiny
    generator = torch.Generator(device=start.device).manual_seed(0)
    basis = [start / start.norm(dim=1, keepdim=True)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    while True:
        vector = basis[-1]
        product = (matrix @ vector).to(start.dtype)
        diagonal.append((product * vector).sum(dim=1))
        scale = product.norm(dim=1)
        rest = _orthogonal(product, basis)
        length = rest.norm(dim=1)
        # What rounding leaves of a vector within the space is no direction.
        exhausted = length <= 100 * torch.finfo(start.dtype).eps * scale
        length = torch.where(exhausted, 0.0, length)
        taken = len(diagonal)
        if taken >= most or (order is None and taken >= count and taken % 5 == 0):
            values, residuals, parts = _ritz(diagonal, beside, length, min(count, taken))
            limit = tolerance * values.abs().amax(dim=1, keepdim=True)
            if taken >= most or bool((residuals <= limit).all()):
                parts = parts.to(start)
                first = sum(parts[:, k, None] * one for k, one in enumerate(basis))
                return Spectrum(values, residuals, taken, torch.as_tensor(first))
        if bool(exhausted.any()):
            new = torch.randn(runs, size, generator=generator, device=start.device)
            new = _orthogonal(new.to(start.dtype), basis)
            rest = torch.where(exhausted[:, None], new, rest)
        beside.append(length)
        basis.append(rest / rest.norm(dim=1, keepdim=True).clamp_min(tiny))


def _orthogonal(vectors: Tensor, basis: list[Tensor]) -> Tensor:
    space = torch.stack(basis, dim=1)  # (runs, taken, size)
    for _ in range(2):
        inner = torch.bmm(space, vectors.unsqueeze(-1))
        vectors = vectors - torch.bmm(space.mT, inner).squeeze(-1)
    return vectors


def _ritz(
    diagonal: list[Tensor], beside: list[Tensor], last: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues of the tridiagonal matrices, their residuals, and the first one's vector; in
    float64."""
    small = torch.diag_embed(torch.stack(diagonal, dim=1).double())
    if beside:
        off = torch.diag_embed(torch.stack(beside, dim=1).double(), 1)
        small = small + off + off.mT
    small = small.cpu()
    # A run that diverged has no eigenvalues.
    small[~small.isfinite().all(dim=(1, 2))] = torch.nan
    values, vectors = torch.linalg.eigh(small.nan_to_num())
    values, vectors = values.flip(1)[:, :count], vectors.flip(2)[:, :, :count]
    residuals = last.double().cpu()[:, None] * vectors[:, -1].abs()
    nothing = 0 * small[:, :1, 0]
    return values + nothing, residuals + nothing, vectors[:, :, 0] + nothing
