"""The compiled engine: the simple model on the CPU, about as fast as the CPU can multiply.

One thread trains one run at a time, with everything the run needs in its first-level cache;
runs never meet, so neither their company in a batch nor the number of threads changes a bit.
The compiled code (:mod:`dynsweep.engines.compiled_kernel`) is imported when training begins:
choosing an engine stays quick.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines.base import (
    ANY,
    SIMPLE,
    Capabilities,
    Engine,
    Session,
    hidden_units,
    named_weights,
    unlisted,
)
from dynsweep.engines.batches import Batch, Samples, total_steps
from dynsweep.engines.devices import available_threads
from dynsweep.engines.minibatches import bits
from dynsweep.metrics import PARTS
from dynsweep.models.mlp import ALIGN

UNITS = 4  # hidden units of a block of weights, as in the passes
LARGEST = 300  # gradient rows for which the passes are still small enough to unroll
BATCH_SECONDS = 20.0  # a batch takes about so long: what a killed sweep loses
SECONDS = 2e-10  # per step, sample and hidden unit, on one thread
MOST_BYTES = 2**28  # of weights in a batch
COPIES = 6  # of a run's weights that are held at a time, most of them while they are drawn
Scratch = tuple[NDArray[Any], ...]


class CompiledSession(Session):
    """Training of one batch; see :class:`dynsweep.engines.base.Session`.

    What the passes read by vectors is allocated by PyTorch, whose tensors start at a whole one.
    """

    def __init__(self, batch: Batch, device: str) -> None:
        from dynsweep.engines.compiled_kernel import kernels
        from dynsweep.engines.compiled_shape import MOMENTUM, NESTEROV, Shape
        from dynsweep.engines.compiled_vectors import processor

        super().__init__(batch, device)
        data, run = batch.dataset, batch.first
        assert isinstance(run.model, MLPConfig)
        self.width, self.bias = run.model.width, run.model.bias
        self.shape = Shape(
            data.train_inputs.shape[1], data.classes, self.bias, run.loss.name != "cross_entropy"
        )
        integers = torch.int32 if self.dtype == torch.float32 else torch.int64
        self.counts, self.points, padded = {}, {}, 0
        for part in PARTS:
            samples = Samples.of(data, part, self.device, self.dtype)
            inputs, labels = samples.inputs.T.flatten(), samples.labels.to(integers)
            arrays = [tensor.clone().numpy() for tensor in (inputs, labels, samples.shares)]
            self.points[part] = (*arrays, arrays[0].dtype.type(1))
            self.counts[part] = len(getattr(data, f"{part}_labels"))
            padded = max(padded, len(labels))
        self._pack(*[value.to(self.dtype).numpy() for value in hidden_units(batch)])
        self.momentum, self.decay = (
            batch.array(f"optimizer.{name}").astype(self.params.dtype)
            for name in ("momentum", "weight_decay")
        )
        # Each run by itself: its bits are those of any batch.
        moves = (self.momentum > 0) | (self.decay > 0)
        descent = NESTEROV if run.optimizer.nesterov else MOMENTUM
        shapes = self.shape, self.shape._replace(descent=descent)
        self._trains = [self._train(shapes[bool(one)]) for one in moves]
        self._measure = kernels(self.shape)[1]
        units = self.width + -self.width % UNITS
        numbers = units * self.shape.trained if moves.any() else 0
        self.velocity = np.zeros((self.runs, numbers), self.params.dtype)
        self.velocity2 = np.zeros_like(self.b2)
        self.seeds = batch.array("seed").astype(np.uint64)
        self.batch_size = run.optimizer.batch_size or 0
        self.threads = min(run.engine.threads or available_threads(), self.runs)
        # Each thread's logits, gradient rows, active bits and bias gradients; its minibatch.
        logits, lanes = self.shape.heads * padded, processor().bytes // inputs.element_size()
        some = self.batch_size + -self.batch_size % ALIGN
        shares = torch.zeros(some, dtype=self.dtype)
        shares[: self.batch_size] = 1 / max(1, self.batch_size)
        order = 2 ** bits(self.counts["train"]) if self.batch_size else 0
        sizes = [
            (logits, self.dtype),
            ((self.shape.inputs + 1) * logits, self.dtype),
            (units * padded // lanes, torch.int16 if lanes > 8 else torch.int8),
            (UNITS * (self.shape.features * self.shape.heads + UNITS), self.dtype),
            (self.shape.inputs * some, self.dtype),
            (some, integers),
        ]
        self.scratch = [
            (
                *[torch.zeros(size, dtype=dtype).numpy() for size, dtype in sizes],
                shares.numpy(),
                np.zeros(order, np.uint32),
            )
            for _ in range(self.threads)
        ]

    def _train(self, shape: Any) -> Any:
        """The compiled function that takes the steps of such runs."""
        from dynsweep.engines.compiled_kernel import kernels

        return kernels(shape)[0]

    def _rows(self, units: NDArray[Any], more: int) -> NDArray[Any]:
        """Rows of w1, b1, v and w2, with ``more`` units whose weights are 0 and stay 0."""
        w2 = units[:, -self.shape.classes :]
        differences = [] if self.shape.squared else [w2[:, :-1] - w2[:, -1:]]
        rows = [units[:, : self.shape.features], *differences, w2]
        return np.pad(np.concatenate(rows, axis=1), ((0, 0), (0, 0), (0, more)))

    def _pack(self, units: NDArray[Any], output_bias: NDArray[Any]) -> None:
        """Weights as the passes want them: rows by blocks of units."""
        self.params = self._blocks(self._rows(units, 0))
        self.b2 = output_bias

    def _blocks(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows ``(runs, rows, width)`` by blocks of units, ``(runs, blocks * rows * units)``."""
        rows = np.pad(rows, ((0, 0), (0, 0), (0, -self.width % UNITS)))
        blocks = rows.reshape(*rows.shape[:2], -1, UNITS).swapaxes(1, 2)
        return np.ascontiguousarray(blocks.reshape(self.runs, -1))

    def _unblocked(self, blocks: NDArray[Any], rows: int) -> NDArray[Any]:
        """The way back."""
        parts = blocks.reshape(self.runs, -1, rows, UNITS).swapaxes(1, 2)
        return parts.reshape(self.runs, rows, -1)[:, :, : self.width]

    def weights(self) -> dict[str, NDArray[np.floating]]:
        units = self._unblocked(self.params, self.shape.rows)
        return named_weights(units, self.b2, self.shape.inputs, self.bias)

    def tensors(self) -> dict[str, Tensor]:
        arrays = {"params": self.params, "b2": self.b2}
        if self.velocity.size:
            arrays |= {"velocity": self.velocity, "velocity2": self.velocity2}
        return {name: torch.from_numpy(value) for name, value in arrays.items()}

    def _every_run(
        self, work: Callable[[int, Scratch], None], scratches: Sequence[Scratch]
    ) -> None:
        """``work(run, scratch)`` for every run, with a thread for each of ``scratches``; one that
        is free takes the next run."""
        queue = iter(range(self.runs))

        def worker(scratch: Scratch) -> None:
            for run in queue:
                work(run, scratch)

        if self.threads == 1:
            worker(scratches[0])
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(worker, scratches))

    def _own(self) -> tuple[NDArray[Any], NDArray[Any], tuple[Any, ...], Sequence[Scratch]]:
        """What the compiled function takes in its own layout: weights, velocities, the data and
        what goes with them, and a scratch for each thread."""
        batches = self.batch_size, self.step, self.seeds, self.counts["train"]
        return self.params, self.velocity, (self.points["train"], batches), self.scratch

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        # A run's own rows lie together: those of another would not fit into the cache.
        tables = tuple(
            np.ascontiguousarray(table.transpose(0, 1)) for table in (class_weights, rates)
        )
        weights, velocity, data, scratches = self._own()
        descent = velocity, self.velocity2, self.momentum, self.decay

        def work(run: int, scratch: Scratch) -> None:
            self._trains[run](run, weights, self.b2, descent, tables, *data, scratch)

        self._every_run(work, scratches)
        self.step += len(rates)

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Accuracy and loss. The forward pass of training yields them 14 times faster than
        PyTorch (64 runs, H = 100), which counts where a sweep records them often, and to the
        same bits as ever; every other metric goes through the one function for all engines."""
        names = [f"{part}_{name}" for part in PARTS for name in ("loss", "accuracy")]
        results = {name: np.zeros(self.runs) for name in names}

        def work(run: int, scratch: Scratch) -> None:
            for part, points in self.points.items():
                loss, accuracy, _ = self._measure(
                    run, self.counts[part], self.params, self.b2, points, scratch
                )
                results[f"{part}_loss"][run], results[f"{part}_accuracy"][run] = loss, accuracy

        self._every_run(work, self.scratch)
        return results


TRAINS: Capabilities = {**SIMPLE, "loss.name": ANY, "optimizer.*": ANY}


class CompiledEngine(Engine):
    """The simple model on the CPU, float32 and float64; all descents, losses and minibatches."""

    name = "compiled"
    trains = TRAINS
    session = CompiledSession
    one_by_one = True

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if device != "cpu":
            return f"trains on the CPU, not on device={device}"
        if (other := unlisted(self.trains, run)) is not None:
            return other
        data = load(run.dataset)
        if len(data.shape) != 1:
            return "trains on points, not on images"
        inputs, classes = math.prod(data.shape), data.classes
        if (inputs + 1) * classes > LARGEST:
            allowed = f"takes (inputs + 1) * classes up to {LARGEST}"
            return f"{allowed}, not {inputs} inputs and {classes} classes"
        return None

    def begin(self, batch: Batch, device: str) -> Session:
        from dynsweep.engines.half_planes import HalfPlaneSession, pays

        return (
            HalfPlaneSession(batch, device) if pays(batch.first) else super().begin(batch, device)
        )

    def memory(self, run: RunConfig) -> int:
        data = load(run.dataset)
        size = run.model.build(data.shape, data.classes).size
        return COPIES * size * (8 if run.dtype == "float64" else 4)

    def batch_size(self, run: RunConfig, device: str) -> int:
        """Runs for BATCH_SECONDS of work, at least 16 and at most 256 to a thread."""
        data, width = load(run.dataset), run.model.width
        threads = run.engine.threads or available_threads()
        one = max(1, total_steps(run)) * len(data.train_labels) * width * SECONDS
        fitting = MOST_BYTES // (width * (2 * data.classes + 2) * 8)
        return max(1, min(threads * int(min(max(BATCH_SECONDS / one, 16), 256)), fitting))
