"""The largest eigenvalues of many symmetric matrices at once, by Lanczos' method."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class LinearMap(Protocol):
    """Symmetric maps of one size, one for every run."""

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """``(runs, size)`` to ``(runs, size)``."""
        ...


@dataclass(frozen=True)
class Spectrum:
    """The largest eigenvalues found.

    Attributes:
        values: algebraically largest first, shape ``(runs, count)``.
        residuals: length of ``A x - value x`` for the unit vectors ``x`` found, same shape: an
            eigenvalue lies within so much of each value.
        order: products that were taken.
    """

    values: Tensor
    residuals: Tensor
    order: int


def largest(
    matrix: LinearMap,
    start: Tensor,
    count: int = 1,
    *,
    tolerance: float = 1e-3,
    most: int = 100,
    order: int | None = None,
) -> Spectrum:
    """Lanczos with full reorthogonalisation, twice, all runs in step.

    Ends when every run's residuals are below ``tolerance`` times its largest value in size, or
    after ``most`` products. With ``order`` it takes just so many (the authors' notebook: 10). Runs
    whose Krylov space is exhausted go on with a new random direction.

    Args:
        matrix: the maps.
        start: first directions ``(runs, size)``, not 0.
        count: how many eigenvalues.
    """
    runs, size = start.shape
    most = min(order or most, size)
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
            found = _ritz(diagonal, beside, length, min(count, taken))
            limit = tolerance * found.values.abs().amax(dim=1, keepdim=True)
            if taken >= most or bool((found.residuals <= limit).all()):
                return found
        if bool(exhausted.any()):
            new = torch.randn(runs, size, generator=generator, device=start.device)
            new = _orthogonal(new.to(start.dtype), basis)
            rest = torch.where(exhausted[:, None], new, rest)
        beside.append(length)
        basis.append(
            rest
            / rest.norm(dim=1, keepdim=True).clamp_min(
                1e-300 if rest.dtype == torch.float64 else 1e-30
            )
        )


def _orthogonal(vectors: Tensor, basis: list[Tensor]) -> Tensor:
    space = torch.stack(basis, dim=1)  # (runs, taken, size)
    for _ in range(2):
        inner = torch.bmm(space, vectors.unsqueeze(-1))
        vectors = vectors - torch.bmm(space.mT, inner).squeeze(-1)
    return vectors


def _ritz(diagonal: list[Tensor], beside: list[Tensor], last: Tensor, count: int) -> Spectrum:
    """Eigenvalues of the tridiagonal matrices, in float64."""
    taken = len(diagonal)
    small = torch.diag_embed(torch.stack(diagonal, dim=1).double())
    if beside:
        off = torch.stack(beside, dim=1).double()
        small = small + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    # A run that diverged has no eigenvalues.
    finite = small.isfinite().all(dim=(1, 2))
    small = torch.where(
        finite[:, None, None], small, torch.eye(taken, device=small.device).double()
    )
    values, vectors = torch.linalg.eigh(small.cpu())
    values, vectors = values.flip(1)[:, :count], vectors.flip(2)[:, :, :count]
    residuals = last.double().cpu()[:, None] * vectors[:, -1].abs()
    nothing = torch.where(finite.cpu(), 0.0, torch.nan)[:, None]
    return Spectrum(values + nothing, residuals + nothing, taken)
