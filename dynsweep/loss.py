"""The dynamical loss: cross-entropy or squared error with class weights G that oscillate in time.

Source: Ruiz-Garcia, Zhang, Schoenholz, Liu, "Tilting the playing field: Dynamical loss
functions for machine learning", ICML 2021, section 2.
"""

from collections.abc import Callable
from typing import Any

from dynsweep.lazy import Tensor, np, torch

Array = Any  # a NumPy array or a PyTorch tensor


def triangle(x: Array) -> Array:
    """Linear, up to half the cycle and back down."""
    return 1 - abs(2 * x - 1)


# How g rises above 1 within a cycle: from x = s / T, 0 to 1, to 0 at its ends and at most 1.
SHAPES: dict[str, Callable[[Array], Array]] = {"triangle": triangle}


def class_weights(
    step: Array,
    period: Array,
    amplitude: Array,
    classes: int,
    *,
    steps: int,
    last_period_static: bool = True,
    static_end: float = 0.0,
    counting: str = "paper",
    shape: str = "triangle",
) -> Array:
    """The weights G_i(t) of the loss.

    Cycle k = floor(t / T) emphasises class k mod C: with s = t - k T its g rises from 1 to the
    amplitude at s = T / 2 and falls back, g = 1 + (A - 1) shape(s / T); the other classes have
    g = 1. The weights G_i = C g_i / sum_j g_j always sum to C.

    >>> weights = class_weights(np.arange(3.0), np.array(4.0), np.array(3.0), 3, steps=100)
    >>> weights.round(2).tolist()
    [[1.0, 1.0, 1.0], [1.5, 0.75, 0.75], [1.8, 0.6, 0.6]]

    Args:
        step: times t in minimisation steps, from 0. This and the next two are NumPy arrays or
            PyTorch tensors, float64, whose shapes broadcast.
        period: T of each run, whole numbers of steps.
        amplitude: A of each run, at least 1.
        classes: C.
        steps: length of the training.
        last_period_static: all weights are 1 over the last T of ``steps``.
        static_end: all weights are 1 over this last fraction of ``steps``.
        counting: ``paper``, or ``notebook`` for the authors' notebook, whose counter wraps one
            step late: cycles of T + 1 steps, within which g is that of the paper.
        shape: a name in ``SHAPES``.

    Returns:
        Float64, of the shape that the arguments broadcast to, and ``(classes,)`` more.
    """
    xp: Any = torch if isinstance(period, torch.Tensor) else np
    cycle_steps = period if counting == "paper" else period + 1
    cycle = xp.floor(step / cycle_steps)  # exact for whole numbers below 2^52
    g = 1 + (amplitude - 1) * SHAPES[shape]((step - cycle * cycle_steps) / period)
    if last_period_static:
        g = xp.where(step >= steps - period, 1.0, g)
    if static_end:
        g = xp.where(step >= steps * (1 - static_end), 1.0, g)
    total = g + (classes - 1)
    emphasised, others = (classes * one / total for one in (g, xp.ones_like(g)))
    which = cycle - classes * xp.floor(cycle / classes)
    return xp.stack([xp.where(which == c, emphasised, others) for c in range(classes)], -1)


def sample_losses(logits: Tensor, labels: Tensor, name: str = "cross_entropy") -> Tensor:
    """Unweighted loss of every sample, shape ``(runs, samples)``.

    ``cross_entropy``: -log softmax(f)_y. ``mean_squared_error``: the mean over the C outputs of
    (f_c - [c = y])^2, after Lavin Pallero and Ruiz-Garcia (arXiv 2410.10690), of whose two
    dynamical versions this is the one that weighs samples by their class.

    Args:
        logits: shape ``(runs, samples, classes)``.
        labels: shape ``(samples,)`` or ``(runs, samples)``.
    """
    index = labels.expand(logits.shape[:-1])
    if name == "mean_squared_error":
        targets = torch.nn.functional.one_hot(index, logits.shape[-1])
        return (logits - targets).square().mean(dim=-1)
    return -logits.log_softmax(dim=-1).gather(-1, index.unsqueeze(-1)).squeeze(-1)
