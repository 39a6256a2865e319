"""The reference engine: plain batched PyTorch, to be read beside the paper.

One gradient-descent step of every run in the batch is

    F(W, t) = (1/P) sum_j G_{y_j}(t) (-log softmax(f(x_j, W))_{y_j}),    W <- W - lr dF/dW.

Runs do not interact, so the gradient of the summed losses holds each run's own gradient.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep import models
from dynsweep.batches import Batch
from dynsweep.config import RunConfig
from dynsweep.engines.base import Metrics
from dynsweep.loss import class_weights, sample_losses
from dynsweep.models.mlp import ALIGN


class ReferenceSession:
    """Training of one batch with autograd; see :class:`dynsweep.engines.base.Session`."""

    def __init__(self, batch: Batch, device: str) -> None:
        data, run = batch.dataset, batch.first
        self.run = run
        self.device = torch.device(device)
        self.dtype = getattr(torch, run.precision)
        self.step = 0
        self.model = models.build(run.model, data.train_inputs.shape[1], data.classes)
        self.classes = data.classes
        self.period = torch.as_tensor(batch.period, device=self.device)
        self.amplitude = torch.as_tensor(batch.amplitude, device=self.device)
        self.lr = torch.as_tensor(batch.lr, device=self.device, dtype=self.dtype)
        self.train = self._padded(data.train_inputs, data.train_labels)
        self.validation = self._padded(data.validation_inputs, data.validation_labels)

        initial = [self.model.init(seed) for seed in batch.seeds]
        stacked = {name: torch.stack([one[name] for one in initial]) for name in initial[0]}
        self.params = {
            name: value.to(self.device, self.dtype).requires_grad_()
            for name, value in self.model.pack(stacked).items()
        }

    def _padded(
        self, inputs: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, labels and weights 1/P, with samples of weight 0 up to whole cache lines.

        As for the hidden units: equal alignment gives equal bits in every batch.
        """
        extra = -len(labels) % ALIGN
        shares = np.full(len(labels), 1 / len(labels))
        return (
            torch.as_tensor(np.pad(inputs, ((0, extra), (0, 0)))).to(self.device, self.dtype),
            torch.as_tensor(np.pad(labels, (0, extra))).to(self.device),
            torch.as_tensor(np.pad(shares, (0, extra))).to(self.device, self.dtype),
        )

    def loss(self, step: int | Tensor) -> Tensor:
        """F(W, t) of every run at time ``step``, shape ``(runs,)``."""
        inputs, labels, shares = self.train
        weights = class_weights(
            step,
            self.period,
            self.amplitude,
            self.classes,
            steps=self.run.steps,
            last_period_static=self.run.loss.last_period_static,
            counting=self.run.loss.counting,
        ).to(self.dtype)
        losses = sample_losses(self.model.forward(self.params, inputs), labels)
        return (weights[:, labels] * shares * losses).sum(dim=-1)

    def descend(self, step: int | Tensor) -> None:
        """The step of gradient descent at time ``step``."""
        gradients = torch.autograd.grad(self.loss(step).sum(), list(self.params.values()))
        with torch.no_grad():
            for param, gradient in zip(self.params.values(), gradients, strict=True):
                param -= self.lr.view(-1, *[1] * (param.dim() - 1)) * gradient

    def advance(self, steps: int) -> None:
        for step in range(self.step, self.step + steps):
            self.descend(step)
        self.step += steps

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        return Metrics(*self._evaluate(*self.train), *self._evaluate(*self.validation))

    def _evaluate(
        self, inputs: Tensor, labels: Tensor, shares: Tensor
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        logits = self.model.forward(self.params, inputs)
        right = (logits.argmax(dim=-1) == labels) & logits.isfinite().all(dim=-1)
        real = shares > 0
        losses = sample_losses(logits, labels)[:, real].double().mean(dim=-1)
        return losses.cpu().numpy(), right[:, real].double().mean(dim=-1).cpu().numpy()

    def weights(self) -> dict[str, NDArray[np.floating]]:
        params = self.model.unpack({name: p.detach() for name, p in self.params.items()})
        return {name: value.cpu().numpy().copy() for name, value in params.items()}


class ReferenceEngine:
    """Any model, CPU and CUDA, float32 and float64."""

    name = "reference"

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        return None

    def batch_size(self, run: RunConfig, device: str) -> int:
        return 64

    def begin(self, batch: Batch, device: str) -> ReferenceSession:
        if batch.first.engine.threads:
            torch.set_num_threads(batch.first.engine.threads)
        return ReferenceSession(batch, device)
