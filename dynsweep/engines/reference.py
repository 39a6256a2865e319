"""The reference engine: plain batched PyTorch, to be read beside the paper.

One gradient-descent step of every run in the batch is

    F(W, t) = (1/P) sum_j G_{y_j}(t) (-log softmax(f(x_j, W))_{y_j}),    W <- W - lr dF/dW,

with P the samples of the training set, or of the minibatch. Runs do not interact, so the gradient
of the summed losses holds each run's own gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep import models
from dynsweep.config import MLPConfig, RunConfig
from dynsweep.curvature.hessian import Hessian
from dynsweep.curvature.lanczos import Spectrum, largest
from dynsweep.curvature.ntk import kernel
from dynsweep.data import load
from dynsweep.engines.base import Metrics
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_memory, available_threads
from dynsweep.engines.minibatches import Minibatches
from dynsweep.engines.optimizer import SGD
from dynsweep.engines.samples import Samples
from dynsweep.loss import class_weights, sample_losses
from dynsweep.models.mlp import ALIGN
from dynsweep.training.schedules import factor

SLICE = 2**26  # numbers that an evaluation holds at a time
COPIES = 3  # of a layer's activations that autograd and its temporaries hold at a time, about
MOST_ON_CPU = 32  # small models: more leave the caches


class ReferenceSession:
    """Training of one batch with autograd; see :class:`dynsweep.engines.base.Session`."""

    def __init__(self, batch: Batch, device: str) -> None:
        data, run = batch.dataset, batch.first
        self.run, self.runs, self.steps = run, len(batch), batch.steps
        self.device = torch.device(device)
        self.dtype = getattr(torch, run.dtype)
        self.step = 0
        self.model = models.build(run.model, data.shape, data.classes)
        self.classes = data.classes
        self.period = torch.as_tensor(batch.period, device=self.device)
        self.amplitude = torch.as_tensor(batch.amplitude, device=self.device)
        self.train = Samples.of(data, "train", self.device, self.dtype)
        self.validation = Samples.of(data, "validation", self.device, self.dtype)
        self.minibatches = None
        if run.optimizer.batch_size:
            augment = bool(getattr(run.dataset, "augment", False))
            size = run.optimizer.batch_size
            self.minibatches = Minibatches(batch.seeds, len(data.train_labels), size, augment)

        initial = [self.model.init(seed) for seed in batch.seeds]
        stacked = {name: torch.stack([one[name] for one in initial]) for name in initial[0]}
        self.params = {
            name: value.to(self.device, self.dtype).requires_grad_()
            for name, value in self.model.pack(stacked).items()
        }
        self.buffers = {
            name: value.to(self.device, self.dtype).repeat(self.runs, *[1] * value.dim())
            for name, value in self.model.buffers().items()
        }
        self.lr = self._numbers(batch.lr)
        self.optimizer = SGD(
            self.params,
            self.lr,
            self._numbers(batch.momentum),
            self._numbers(batch.weight_decay),
            run.optimizer.nesterov,
        )
        self.rate = torch.ones_like(self.lr)  # of the schedule that follows the sharpness
        self.rates = torch.ones(0)  # of the others at every step, where time is on the device
        if self.device.type == "cpu":
            # The simple model's matrices are so small that threads cost more than they bring.
            small = isinstance(run.model, MLPConfig)
            torch.set_num_threads(run.engine.threads or (1 if small else available_threads()))
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = run.precision == "tf32"
            torch.backends.cuda.matmul.allow_tf32 = run.precision == "tf32"

    def _numbers(self, values: NDArray[np.float64]) -> Tensor:
        return torch.as_tensor(values, device=self.device, dtype=self.dtype)

    def _seen(self, step: int | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the loss at time ``step`` is of: inputs ``(runs, samples, ...)``, labels
        ``(samples,)`` or ``(runs, samples)``, and shares."""
        if self.minibatches is None:
            return self._shared(self.train)
        index, where = self.minibatches.indices(step, self.device)
        seen = self.train.chosen(index)
        return self.minibatches.view(seen.numbers, where), seen.labels, seen.shares

    def _shared(self, samples: Samples) -> tuple[Tensor, Tensor, Tensor]:
        """The same samples for every run."""
        inputs = samples.numbers
        return inputs.expand(self.runs, *inputs.shape), samples.labels, samples.shares

    def logits(self, inputs: Tensor, training: bool = False) -> Tensor:
        """``(runs, samples, classes)`` of inputs ``(runs, samples, ...)``."""
        with torch.autocast("cuda", torch.bfloat16, self.run.precision == "bfloat16"):
            logits = self.model.forward(self.params, inputs, self.buffers, training)
        return logits.to(self.dtype)

    def class_weights(self, step: int | Tensor) -> Tensor:
        """G_i(t), shape ``(runs, classes)``."""
        return class_weights(
            step,
            self.period,
            self.amplitude,
            self.classes,
            steps=self.steps,
            last_period_static=self.run.loss.last_period_static,
            static_end=self.run.loss.static_end,
            counting=self.run.loss.counting,
        ).to(self.dtype)

    def loss(self, step: int | Tensor) -> Tensor:
        """F(W, t) of every run at time ``step``, shape ``(runs,)``."""
        inputs, labels, shares = self._seen(step)
        losses = sample_losses(self.logits(inputs, training=True), labels, self.run.loss.name)
        weights = self.class_weights(step).gather(1, labels.expand(self.runs, -1))
        return (weights * shares * losses).sum(dim=-1)

    def whole_loss(self, step: int, static: bool = False, samples: int | None = None) -> Tensor:
        """F(W, t) over the whole training set, or its first ``samples``, shape ``(runs,)``.

        Not over a minibatch, and batch norm by its running statistics; ``static``: with equal
        weights.
        """
        inputs, labels, shares = self._shared(self.train[:samples])
        losses = sample_losses(self.logits(inputs), labels, self.run.loss.name)
        losses = losses * (shares / shares.sum())
        if not static:
            losses = losses * self.class_weights(step).gather(1, labels.expand(self.runs, -1))
        return losses.sum(dim=-1)

    def sharpness(
        self, step: int, static: bool = False, samples: int | None = None, **options: Any
    ) -> Spectrum:
        """The largest eigenvalues of the Hessian of :meth:`whole_loss`; options as of
        :func:`dynsweep.curvature.lanczos.largest`."""
        losses = self.whole_loss(step, static, samples)
        hessian = Hessian(losses, list(self.params.values()))
        # Every run from the same direction, whichever runs it shares a batch with.
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(hessian.size, generator=generator, dtype=torch.float64)
        start = start.to(self.device, self.dtype).expand(self.runs, -1)
        return largest(hessian, start, **options)

    def ntk(self, samples: NDArray[np.int64]) -> Tensor:
        """The empirical neural tangent kernel of those training samples, ``(runs, n, n)``."""

        def logits(params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
            return self.model.forward(dict(params), inputs, self.buffers, False)

        params = {name: value.detach() for name, value in self.params.items()}
        index = torch.as_tensor(samples, device=self.device)
        return kernel(logits, params, self.train.chosen(index[None]).numbers[0])

    def descend(self, step: int | Tensor) -> None:
        """The step of gradient descent at time ``step``."""
        gradients = torch.autograd.grad(self.loss(step).sum(), list(self.params.values()))
        self.optimizer.step(list(gradients), self._rate(step))

    def _rate(self, step: int | Tensor) -> float | Tensor:
        """What the learning rate is multiplied by at time ``step``."""
        schedule = self.run.optimizer.schedule
        if schedule.name == "sharpness":
            if int(step) % schedule.every == 0:
                values = self.sharpness(int(step), order=10).values[:, 0].to(self.lr)
                wanted = schedule.fraction * 2 / (values.clamp_min(1e-12) * self.lr)
                wanted = wanted.clamp(schedule.lowest, schedule.highest)
                # A run that diverged keeps its rate.
                self.rate.copy_(torch.where(wanted.isfinite(), wanted, self.rate))
            return self.rate
        if schedule.name == "constant" and not schedule.warmup:
            return 1.0
        if isinstance(step, Tensor):
            return self.rates[step]
        return factor(schedule, int(step), self.steps)

    def advance(self, steps: int) -> None:
        for step in range(self.step, self.step + steps):
            self.descend(step)
        self.step += steps

    @torch.no_grad()
    def evaluate(self) -> Metrics:
        return Metrics(*self._evaluate(self.train), *self._evaluate(self.validation))

    @torch.no_grad()
    def right_answers(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which training samples each run classifies rightly, ``(runs, samples)``; the labels."""
        right, _ = self._look(self.train)
        return right.cpu().numpy(), self.train.labels[self.train.real].cpu().numpy()

    def _evaluate(self, samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean static loss and accuracy."""
        right, losses = self._look(samples)
        means = [one.double().mean(dim=-1).cpu().numpy() for one in (losses, right)]
        return means[0], means[1]

    def _look(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Whether each sample is classified rightly, and its loss, in slices of bounded memory."""
        size = max(1, SLICE // (self.runs * self.model.footprint * ALIGN)) * ALIGN
        losses, right = [], []
        for start in range(0, len(samples), size):
            inputs, labels, _ = self._shared(samples[start : start + size])
            logits = self.logits(inputs)
            finite = logits.isfinite().all(dim=-1)
            right.append((logits.argmax(dim=-1) == labels) & finite)
            losses.append(sample_losses(logits, labels, self.run.loss.name))
        real = samples.real
        return torch.cat(right, dim=1)[:, real], torch.cat(losses, dim=1)[:, real]

    def weights(self) -> dict[str, NDArray[np.floating]]:
        params = self.model.unpack({name: p.detach() for name, p in self.params.items()})
        return {
            name: value.cpu().numpy().copy() for name, value in (params | self.buffers).items()
        }

    def load(self, step: int, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Take the weights of another session of the batch, as its :meth:`weights` gives them."""
        self.step = step
        given = {name: torch.as_tensor(value) for name, value in weights.items()}
        packed = self.model.pack({k: v for k, v in given.items() if k not in self.buffers})
        with torch.no_grad():
            for name, value in self.params.items():
                value.copy_(packed[name])
        for name, value in self.buffers.items():
            value.copy_(given[name])

    def _state(self) -> dict[str, Tensor]:
        velocity = {f"velocity/{name}": v for name, v in self.optimizer.velocity.items()}
        params = {name: value.detach() for name, value in self.params.items()}
        return params | self.buffers | velocity | {"rate": self.rate}

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {name: value.cpu().numpy().copy() for name, value in self._state().items()}

    def restore(self, step: int, state: Mapping[str, NDArray[np.generic]]) -> None:
        self.step = step
        for name, value in self._state().items():
            value.copy_(torch.as_tensor(state[name]))


class ReferenceEngine:
    """Any model, CPU and CUDA, float32 and float64."""

    name = "reference"

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
    model = models.build(run.model, data.shape, data.classes)
    samples = run.optimizer.batch_size or len(data.train_labels)
    numbers = COPIES * samples * model.footprint + 5 * model.size
    return numbers * (8 if run.dtype == "float64" else 4)
