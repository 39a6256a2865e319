"""Stochastic gradient descent for a batch of runs, each with its own numbers."""

import torch
from torch import Tensor


class SGD:
    """PyTorch's ``torch.optim.SGD``, with learning rate, momentum and weight decay per run.

    With g the gradient plus weight decay times w, the velocity is v = momentum * v + g (at first
    g), and w falls by lr * v; by lr * (g + momentum * v) with Nesterov's momentum.

    Args:
        params: by name, shape ``(runs, ...)``; changed in place.
        momentum, weight_decay: shape ``(runs,)``.
        nesterov: the same for all runs.
    """

    def __init__(
        self, params: dict[str, Tensor], momentum: Tensor, weight_decay: Tensor, nesterov: bool
    ) -> None:
        self.params, self.nesterov = params, nesterov
        self.momentum, self.weight_decay = momentum, weight_decay
        # What no run uses costs nothing.
        self.decays = bool((weight_decay > 0).any())
        moves = bool((momentum > 0).any())
        self.velocity = {k: torch.zeros_like(p) for k, p in params.items()} if moves else {}

    @torch.no_grad()
    def step(self, gradients: list[Tensor], rates: Tensor) -> None:
        """One step with the learning rates ``(runs,)``."""
        for (name, param), gradient in zip(self.params.items(), gradients, strict=True):
            shape = (-1, *[1] * (param.dim() - 1))
            if self.decays:
                gradient = gradient + self.weight_decay.view(shape) * param
            if self.velocity:
                momentum, velocity = self.momentum.view(shape), self.velocity[name]
                velocity.mul_(momentum).add_(gradient)
                gradient = gradient + momentum * velocity if self.nesterov else velocity
            param -= rates.view(shape) * gradient
