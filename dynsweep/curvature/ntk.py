"""The empirical neural tangent kernel: inner products of the logits' gradients."""

from collections.abc import Callable, Mapping
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def chosen(labels: NDArray[np.int64], count: int, choice: str) -> NDArray[np.int64]:
    """The samples that the kernel is of.

    ``first``: the first ``count``, as in the authors' notebook; in the spirals' order all of them
    belong to class 0 (for up to 100). ``balanced``: as many of each class as can be, the first of
    each.
    """
    if choice == "first":
        return np.arange(min(count, len(labels)))
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    return np.sort(np.lexsort((labels, rank))[:count])


def kernel(
    logits: Callable[[Mapping[str, Tensor], Tensor], Tensor],
    params: Mapping[str, Tensor],
    inputs: Tensor,
) -> Tensor:
    """Theta(x, x') = (1 / C) sum_c grad f_c(x) . grad f_c(x') of every run.

    Args:
        logits: ``f(params, inputs)``, ``(runs, samples, classes)`` for inputs
            ``(runs, samples, ...)``.
        params: each of shape ``(runs, ...)``.
        inputs: ``(samples, ...)``, the same for all runs.

    Returns:
        Shape ``(runs, samples, samples)``.
    """
    runs = len(next(iter(params.values())))

    def summed(params: dict[str, Tensor], one: Tensor) -> Tensor:
        # Over runs: each run's logits depend on its own parameters only.
        return logits(params, one.expand(runs, 1, *one.shape))[:, 0].sum(dim=0)

    jacobian: Callable[..., dict[str, Tensor]] = torch.func.jacrev(summed)
    gradients = torch.func.vmap(jacobian, in_dims=(None, 0))(dict(params), inputs)
    rows = [one.flatten(3).permute(2, 0, 1, 3).flatten(2) for one in gradients.values()]
    classes = next(iter(gradients.values())).shape[1]  # of (samples, classes, runs, ...)
    return reduce(torch.add, (torch.bmm(row, row.mT) for row in rows)) / classes
