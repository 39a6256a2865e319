"""The dynamical loss: cross-entropy or squared error with class weights G that oscillate in time.

Source: Ruiz-Garcia, Zhang, Schoenholz, Liu, "Tilting the playing field: Dynamical loss
functions for machine learning", ICML 2021, section 2.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Counting = Literal["paper", "notebook"]


def class_weights(
    step: int | Tensor,
    period: Tensor,
    amplitude: Tensor,
    classes: int,
    *,
    steps: int,
    last_period_static: bool = True,
    static_end: float = 0.0,
    counting: str = "paper",
) -> Tensor:
    """The weights G_i(t) of the loss at time ``step``, for a batch of runs.

    Cycle k = floor(t / T) emphasises class k mod C: with s = t - k T its g rises linearly from
    1 to the amplitude at s = T / 2 and falls back; the other classes have g = 1. The weights
    G_i = C g_i / sum_j g_j always sum to C.

    Args:
        step: time t in minimisation steps, from 0; or many times, int64, shape ``(..., 1)``.
        period: T of each run, whole numbers of steps, shape ``(runs,)``.
        amplitude: A of each run, at least 1, shape ``(runs,)``, float64.
        classes: C.
        steps: length of the training.
        last_period_static: all weights are 1 over the last T of ``steps``.
        static_end: all weights are 1 over this last fraction of ``steps``.
        counting: ``paper``, or ``notebook`` for the authors' notebook, whose counter wraps one
            step late: cycles of T + 1 steps, within which g is that of the paper.

    Returns:
        Weights of shape ``(..., runs, classes)``, float64.
    """
    cycle_steps = period if counting == "paper" else period + 1
    cycle = torch.div(step, cycle_steps, rounding_mode="floor")
    within = (step - cycle * cycle_steps).double()
    g = 1 + (amplitude - 1) * (1 - (2 * within / period - 1).abs())
    if last_period_static:
        g = torch.where(step >= steps - period, 1.0, g)
    if static_end:
        late = torch.as_tensor(step >= steps * (1 - static_end), device=g.device)
        g = torch.where(late, 1.0, g)
    emphasised = functional.one_hot(cycle % classes, classes).to(g.dtype)
    weights = 1 + (g - 1).unsqueeze(-1) * emphasised
    return classes * weights / weights.sum(dim=-1, keepdim=True)


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
        targets = functional.one_hot(index, logits.shape[-1])
        return (logits - targets).square().mean(dim=-1)
    return -logits.log_softmax(dim=-1).gather(-1, index.unsqueeze(-1)).squeeze(-1)
