"""The reference engine: plain batched PyTorch, to be read beside the paper.

One gradient-descent step of every run in the batch is

    F(W, t) = (1/P) sum_j G_{y_j}(t) (-log softmax(f(x_j, W))_{y_j}),    W <- W - lr dF/dW,

with P the samples of the training set, or of the minibatch. Runs do not interact, so the gradient
of the summed losses holds each run's own gradient.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines.base import Session
from dynsweep.engines.batches import Batch
from dynsweep.engines.capabilities import EVERYTHING
from dynsweep.engines.devices import available_memory
from dynsweep.engines.minibatches import Minibatches
from dynsweep.engines.network import Network
from dynsweep.engines.optimizer import SGD
from dynsweep.engines.samples import Samples
from dynsweep.loss import sample_losses

COPIES = 3  # of a layer's activations that autograd and its temporaries hold at a time, about
MOST_ON_CPU = 32  # small models: more leave the caches


class ReferenceSession(Session):
    """Training of one batch with autograd; see :class:`dynsweep.engines.base.Session`."""

    def __init__(self, batch: Batch, device: str) -> None:
        data, run = batch.dataset, batch.first
        self.step, self.runs, self.loss_name = 0, len(batch), run.loss.name
        self.network = Network(batch, device)
        self.device, self.dtype = self.network.device, self.network.dtype
        self.train = Samples.of(data, "train", self.device, self.dtype)
        self.minibatches = None
        if run.optimizer.batch_size:
            augment = bool(getattr(run.dataset, "augment", False))
            seeds, size = [run.seed for run in batch.runs], run.optimizer.batch_size
            self.minibatches = Minibatches(seeds, len(data.train_labels), size, augment)
        momentum, weight_decay = (
            torch.as_tensor(batch.array(f"optimizer.{name}")).to(self.device, self.dtype)
            for name in ("momentum", "weight_decay")
        )
        nesterov = run.optimizer.nesterov
        self.optimizer = SGD(self.network.params, momentum, weight_decay, nesterov)

    def _seen(self, step: int | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the loss at time ``step`` is of: inputs ``(runs, samples, ...)``, labels
        ``(samples,)`` or ``(runs, samples)``, and shares."""
        if self.minibatches is None:
            return self.train.of_every_run(self.runs), self.train.labels, self.train.shares
        index, where = self.minibatches.indices(step, self.device)
        seen = self.train.chosen(index)
        return self.minibatches.view(seen.numbers, where), seen.labels, seen.shares

    def loss(self, step: int | Tensor, class_weights: Tensor) -> Tensor:
        """F(W, t) of every run at time ``step``, shape ``(runs,)``, by the present weights of
        the classes, ``(runs, classes)``."""
        inputs, labels, shares = self._seen(step)
        losses = sample_losses(self.network.logits(inputs, training=True), labels, self.loss_name)
        weights = class_weights.gather(1, labels.expand(self.runs, -1))
        return (weights * shares * losses).sum(dim=-1)

    def descend(self, step: int | Tensor, class_weights: Tensor, rates: Tensor) -> None:
        """The step of gradient descent at time ``step``; rates ``(runs,)``."""
        loss = self.loss(step, class_weights).sum()
        gradients = torch.autograd.grad(loss, list(self.network.params.values()))
        self.optimizer.step(list(gradients), rates)

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        for weights, rate in zip(class_weights, rates, strict=True):
            self.descend(self.step, weights, rate)
            self.step += 1

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return self.network.weights()

    def _state(self) -> dict[str, Tensor]:
        params = {name: value.detach() for name, value in self.network.params.items()}
        velocity = {f"velocity/{name}": v for name, v in self.optimizer.velocity.items()}
        return params | self.network.buffers | velocity

    def state(self) -> dict[str, NDArray[Any]]:
        return {name: value.cpu().numpy().copy() for name, value in self._state().items()}

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        self.step = step
        for name, value in self._state().items():
            value.copy_(torch.as_tensor(state[name]))


class ReferenceEngine:
    """Any model, CPU and CUDA, float32 and float64."""

    name = "reference"
    trains = EVERYTHING

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if run.precision in ("tf32", "bfloat16") and not device.startswith("cuda"):
            return f"trains with precision={run.precision} on CUDA only"
        return None

    def batch_size(self, run: RunConfig, device: str) -> int:
        """As many runs as fit into half of the free memory, by an estimate of one run's.

        On the CPU at most 32 of the small model; of a convolutional network 1, as grouped
        convolutions of several runs are slower there than one run after the other.
        """
        fitting = available_memory(device) // 2 // memory(run)
        if not device.startswith("cuda"):
            fitting = min(fitting, MOST_ON_CPU if isinstance(run.model, MLPConfig) else 1)
        return max(1, min(fitting, 4096))

    def begin(self, batch: Batch, device: str) -> ReferenceSession:
        return ReferenceSession(batch, device)


def memory(run: RunConfig) -> int:
    """Bytes that training one run takes, about: weights, gradients and activations."""
    data = load(run.dataset)
    model = run.model.build(data.shape, data.classes)
    samples = run.optimizer.batch_size or len(data.train_labels)
    numbers = COPIES * samples * model.footprint + 5 * model.size
    return numbers * (8 if run.dtype == "float64" else 4)
