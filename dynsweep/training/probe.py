"""What is measured along a run, at the weights of any engine's session.

Metrics and losses are sums over samples: their logits are computed in slices of bounded memory.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.curvature.lanczos import Hessian, SlicedHessian, Spectrum, largest
from dynsweep.curvature.ntk import kernel
from dynsweep.engines import Session
from dynsweep.engines.batches import Batch, Network, Samples
from dynsweep.loss import sample_losses
from dynsweep.metrics import COLUMNS, METRICS, PARTS, accuracy
from dynsweep.models import seeding
from dynsweep.models.mlp import ALIGN

SLICE = 2**26  # numbers that an evaluation holds at a time
KEPT = 2**28  # activations in the graph of a loss that is differentiated twice, at most


class Probe:
    """A batch's model at the weights that were loaded last."""

    network: Network

    def __init__(self, batch: Batch, device: str) -> None:
        self.batch, self.device, self.runs = batch, device, len(batch)
        self.step: int | None = None

    def load(self, session: Session) -> None:
        """Take the present weights of the session, always the same one."""
        if self.step != session.step:
            self.network = Network(self.batch, self.device, session.weights())
            self.step = session.step

    @cached_property
    def samples(self) -> dict[str, Samples]:
        """Training and validation set on the device."""
        data, network = self.batch.dataset, self.network
        return {part: Samples.of(data, part, network.device, network.dtype) for part in PARTS}

    @property
    def functions(self) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
        """The metrics; ``loss`` is the one that is trained with."""
        own = {"loss": partial(sample_losses, name=self.batch.first.loss.name)}
        return {name: metric.values for name, metric in METRICS.items()} | own

    def _values(
        self, samples: Samples, functions: Iterable[Callable[[Tensor, Tensor], Tensor]]
    ) -> list[Tensor]:
        """Of every function of logits and labels the values ``(runs, samples)``, padding included;
        the logits are computed slice by slice."""
        rows = []
        for part in self._slices(samples, SLICE):
            logits = self.network.logits(part.of_every_run(self.runs))
            rows.append([function(logits, part.labels) for function in functions])
        return [torch.cat(values, dim=1) for values in zip(*rows, strict=True)]

    def _slices(self, samples: Samples, numbers: int) -> list[Samples]:
        """Parts whose activations are about so many numbers, over all runs."""
        size = max(1, numbers // (self.runs * self.network.model.footprint * ALIGN)) * ALIGN
        count = len(samples.shares)
        return [samples[start : start + size] for start in range(0, count, size)]

    @torch.no_grad()
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """The mean of every metric over training and validation set: by column, ``(runs,)``."""
        columns = {}
        for part, samples in self.samples.items():
            values = self._values(samples, self.functions.values())
            for name, value in zip(self.functions, values, strict=True):
                mean = value[:, samples.shares > 0].double().mean(dim=-1)
                columns[f"{part}_{name}"] = mean.cpu().numpy()
        return columns

    @torch.no_grad()
    def class_accuracy(self) -> NDArray[np.float64]:
        """The training accuracy of each class, shape ``(runs, classes)``."""
        train, data = self.samples["train"], self.batch.dataset
        (values,) = self._values(train, [accuracy])
        right = values[:, train.shares > 0].cpu().numpy()
        of_class = [data.train_labels == k for k in range(data.classes)]
        return np.stack([right[:, mask].mean(axis=1) for mask in of_class], axis=1)

    def loss(self, class_weights: Tensor | None = None, samples: int | None = None) -> Tensor:
        """F(W, t) over the whole training set, or its first ``samples``, shape ``(runs,)``.

        Weighted by ``class_weights`` G_i(t), ``(runs, classes)``, else by equal ones; not over a
        minibatch, and batch norm by its running statistics.
        """
        train = self.samples["train"][:samples]
        return self._sum(train, train.shares.sum(), class_weights)

    def _sum(self, samples: Samples, shares: Tensor, class_weights: Tensor | None) -> Tensor:
        """What some samples add to a loss over samples whose shares add up to ``shares``."""
        (losses,) = self._values(samples, [self.functions["loss"]])
        losses = losses * (samples.shares / shares)
        if class_weights is not None:
            losses = losses * class_weights.gather(1, samples.labels.expand(self.runs, -1))
        return losses.sum(dim=-1)

    def sharpness(
        self, class_weights: Tensor | None = None, samples: int | None = None, **options: Any
    ) -> Spectrum:
        """The largest eigenvalues of the Hessian of :meth:`loss`; options as of
        :func:`dynsweep.curvature.lanczos.largest`."""
        train, params = self.samples["train"][:samples], list(self.network.params.values())
        shares = train.shares.sum()
        parts = [
            partial(self._sum, part, shares, class_weights) for part in self._slices(train, KEPT)
        ]
        hessian = Hessian(parts[0](), params) if len(parts) == 1 else SlicedHessian(parts, params)
        # Every run from the same direction, whichever runs it shares a batch with.
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(hessian.size, generator=generator, dtype=torch.float64)
        return largest(hessian, start.to(params[0]).expand(self.runs, -1), **options)

    @cached_property
    def random_direction(self) -> Tensor:
        """A direction of length 1 of each run's own, always the same one, ``(runs, size)``."""
        shapes = {name: one.shape for name, one in self.network.model.init(0).items()}
        rows = []
        for seed in self.batch.array("seed").tolist():
            generator = seeding.generator(seed, seeding.DIRECTION)
            drawn = {
                name: torch.randn(shape, generator=generator, dtype=torch.float64)[None]
                for name, shape in shapes.items()
            }
            packed = self.network.model.pack(drawn)
            flat = torch.cat([packed[name].flatten() for name in self.network.params])
            rows.append(flat / flat.norm())
        return torch.stack(rows).to(self.network.device, self.network.dtype)

    @torch.no_grad()
    def profile(
        self, direction: Tensor, places: NDArray[np.float64], class_weights: Tensor, split: Tensor
    ) -> NDArray[np.float64]:
        """F(W + a v, t) at the weights W, and the parts of it that two sets of classes add.

        Args:
            direction: v of each run, of length 1, ``(runs, size)``.
            places: a, ``(points,)``.
            class_weights: G_i(t), ``(runs, classes)``.
            split: which classes are in the first set, ``(runs, classes)``.

        Returns:
            The whole, the first set's part and the others', shape ``(3, runs, points)``.
        """
        params, train = self.network.params, self.samples["train"]
        sizes = [one[0].numel() for one in params.values()]
        parts = torch.split(direction, sizes, dim=1)
        first = train.labels.expand(self.runs, -1)
        shares = train.shares * class_weights.gather(1, first)
        weights = {name: one.clone() for name, one in params.items()}
        first = split.gather(1, first)
        rows = []
        for a in places.tolist():
            for (name, one), part in zip(params.items(), parts, strict=True):
                one.copy_(weights[name] + a * part.view_as(one))
            (losses,) = self._values(train, [self.functions["loss"]])
            losses = (losses * shares).double()
            rows.append(torch.stack([losses.sum(1), (losses * first).sum(1)]))
        for name, one in params.items():
            one.copy_(weights[name])
        whole, chosen = torch.stack(rows, dim=-1).cpu().numpy()
        return np.stack([whole, chosen, whole - chosen])

    def ntk(self, samples: NDArray[np.int64]) -> Tensor:
        """The empirical neural tangent kernel of those training samples, ``(runs, n, n)``."""
        network = self.network

        def logits(params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
            return network.model.forward(dict(params), inputs, network.buffers, False)

        params = {name: value.detach() for name, value in network.params.items()}
        index = torch.as_tensor(samples, device=network.device)
        return kernel(logits, params, self.samples["train"][index].numbers)


def measure(session: Session, probe: Probe) -> dict[str, NDArray[np.float64]]:
    """The :data:`~dynsweep.metrics.COLUMNS` at the session's present weights, each ``(runs,)``."""
    columns = dict(session.metrics())
    if not columns.keys() >= COLUMNS.keys():
        probe.load(session)
        columns = probe.metrics() | columns
    return {name: columns[name] for name in COLUMNS}
