"""The reference engine: plain batched PyTorch, to be read beside the paper.

One gradient-descent step of every run in the batch is

    F(W, t) = (1/P) sum_j G_{y_j}(t) (-log softmax(f(x_j, W))_{y_j}),    W <- W - lr dF/dW,

with P the samples of the training set, or of the minibatch. Runs do not interact, so the gradient
of the summed losses holds each run's own gradient.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines.base import EVERYTHING, Engine, Session
from dynsweep.engines.batches import Batch, Network, Samples
from dynsweep.engines.devices import available_memory
from dynsweep.engines.minibatches import Minibatches
from dynsweep.loss import sample_losses

COPIES = 3  # of a layer's activations that autograd and its temporaries hold at a time, about
AMPLE = 2  # times what one run alone was seen to take: so large is the estimate for batches
MOST_ON_CPU = 32  # small models: more leave the caches


class SGD:
    """PyTorch's ``torch.optim.SGD``, with learning rate, momentum and weight decay per run.

    With g the gradient plus weight decay times w, the velocity is v = momentum * v + g (at first
    g), and w falls by lr * v; by lr * (g + momentum * v) with Nesterov's momentum. Parameters,
    each of shape ``(runs, ...)``, are changed in place.
    """

    def __init__(self, params: dict[str, Tensor], batch: Batch) -> None:
        self.params, self.nesterov = params, batch.first.optimizer.nesterov
        like = next(iter(params.values()))
        self.momentum, self.weight_decay = (
            torch.as_tensor(batch.array(f"optimizer.{name}")).to(like)
            for name in ("momentum", "weight_decay")
        )
        # What no run uses costs nothing.
        self.decays, moves = bool((self.weight_decay > 0).any()), bool((self.momentum > 0).any())
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


class ReferenceSession(Session):
    """Training of one batch with autograd; see :class:`dynsweep.engines.base.Session`.

    Sessions of the same dataset may share its ``train`` part.
    """

    def __init__(self, batch: Batch, device: str, train: Samples | None = None) -> None:
        super().__init__(batch, device)
        data, run = batch.dataset, batch.first
        self.loss_name, self.network = run.loss.name, Network(batch, device)
        self.train = train or Samples.of(data, "train", self.device, self.dtype)
        self.minibatches = None
        if size := run.optimizer.batch_size:
            augment = bool(getattr(run.dataset, "augment", False))
            seeds, samples = [run.seed for run in batch.runs], len(data.train_labels)
            self.minibatches = Minibatches(seeds, samples, size, augment, self.device)
        self.optimizer = SGD(self.network.params, batch)

    def loss(self, step: int | Tensor, class_weights: Tensor) -> Tensor:
        """F(W, t) of every run at time ``step``, shape ``(runs,)``, by the present weights of
        the classes, ``(runs, classes)``."""
        shares: Tensor | float
        if self.minibatches is None:
            inputs, labels = self.train.of_every_run(self.runs), self.train.labels
            shares = self.train.shares
        else:
            index, where = self.minibatches.indices(step)
            seen, shares = self.train[index], 1 / self.minibatches.size
            inputs, labels = self.minibatches.view(seen.numbers, where), seen.labels
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

    def tensors(self) -> dict[str, Tensor]:
        params = {name: value.detach() for name, value in self.network.params.items()}
        velocity = {f"velocity/{name}": v for name, v in self.optimizer.velocity.items()}
        return params | self.network.buffers | velocity


class ReferenceEngine(Engine):
    """Any model, CPU and CUDA, float32 and float64."""

    name = "reference"
    trains = EVERYTHING
    session = ReferenceSession

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

    def memory(self, run: RunConfig) -> int:
        return memory(run) // AMPLE


def memory(run: RunConfig) -> int:
    """Bytes by which batches are sized: weights, gradients and activations of one run, amply."""
    data = load(run.dataset)
    model = run.model.build(data.shape, data.classes)
    samples = run.optimizer.batch_size or len(data.train_labels)
    numbers = COPIES * samples * model.footprint + 5 * model.size
    return numbers * (8 if run.dtype == "float64" else 4)
