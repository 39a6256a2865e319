"""The compiled engine: the simple model on the CPU, about as fast as the CPU can multiply.

One thread trains one run at a time, with everything the run needs in its first-level cache;
runs never meet, so neither their company in a batch nor the number of threads changes a bit.
The compiled code (:mod:`dynsweep.engines.compiled_kernel`) is imported when training begins:
choosing an engine stays quick.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines.base import SIMPLE, Engine, Session, hidden_units, named_weights, unlisted
from dynsweep.engines.batches import Batch, Samples, total_steps
from dynsweep.engines.devices import available_threads
from dynsweep.metrics import PARTS

UNITS = 4  # hidden units of a block of weights, as in the passes
VECTOR = 64  # bytes
LARGEST = 300  # gradient rows for which the passes are still small enough to unroll
BATCH_SECONDS = 20.0  # a batch takes about so long: what a killed sweep loses
SECONDS = 2e-10  # per step, sample and hidden unit, on one thread
MOST_BYTES = 2**28  # of weights in a batch
COPIES = 6  # of a run's weights that are held at a time, most of them while they are drawn


class CompiledSession(Session):
    """Training of one batch; see :class:`dynsweep.engines.base.Session`.

    What the passes read by vectors is allocated by PyTorch, whose tensors start at a whole one.
    """

    def __init__(self, batch: Batch, device: str) -> None:
        from dynsweep.engines.compiled_kernel import kernels

        super().__init__(batch, device)
        data, run = batch.dataset, batch.first
        assert isinstance(run.model, MLPConfig)
        self.width, self.bias = run.model.width, run.model.bias
        self.inputs, self.classes = data.train_inputs.shape[1], data.classes
        single = self.dtype == torch.float32
        integers, flags = (torch.int32, torch.int16) if single else (torch.int64, torch.int8)
        self.counts, self.points, padded = {}, {}, 0
        for part in PARTS:
            samples = Samples.of(data, part, self.device, self.dtype)
            inputs, labels = samples.inputs.T.flatten(), samples.labels.to(integers)
            arrays = [tensor.clone().numpy() for tensor in (inputs, labels, samples.shares)]
            self.points[part] = (*arrays, arrays[0].dtype.type(1))
            self.counts[part] = len(getattr(data, f"{part}_labels"))
            padded = max(padded, len(labels))
        self._train, self._measure = kernels(self.inputs, self.classes, int(self.bias))
        self._pack(*[value.to(self.dtype).numpy() for value in hidden_units(batch)])
        self.threads = min(run.engine.threads or available_threads(), self.runs)
        # Each thread's logits, gradient rows, active bits and bias gradients.
        logits, units = (self.classes - 1) * padded, self.width + -self.width % UNITS
        flag_count = units * padded * inputs.element_size() // VECTOR
        self.scratch = [
            tuple(
                torch.zeros(size, dtype=dtype).numpy()
                for size, dtype in (
                    (logits, self.dtype),
                    ((self.inputs + 1) * logits, self.dtype),
                    (flag_count, flags),
                    (self.classes - 1, self.dtype),
                )
            )
            for _ in range(self.threads)
        ]

    def _pack(self, units: NDArray[Any], output_bias: NDArray[Any]) -> None:
        """Weights as the passes want them: rows of w1, b1, v and w2 by blocks of units, the
        last block filled up with units whose weights are 0 and stay 0."""
        w2 = units[:, -self.classes :]
        rows = [units[:, : self.inputs + self.bias], w2[:, :-1] - w2[:, -1:], w2]
        padding = ((0, 0), (0, 0), (0, -self.width % UNITS))
        stacked = np.pad(np.concatenate(rows, axis=1), padding)
        blocks = stacked.reshape(*stacked.shape[:2], -1, UNITS).swapaxes(1, 2)
        self.params = np.ascontiguousarray(blocks.reshape(self.runs, -1))
        self.b2 = output_bias

    def weights(self) -> dict[str, NDArray[np.floating]]:
        rows = self.inputs + self.bias + 2 * self.classes - 1
        blocks = self.params.reshape(self.runs, -1, rows, UNITS).swapaxes(1, 2)
        units = blocks.reshape(self.runs, rows, -1)[:, :, : self.width]
        return named_weights(units, self.b2, self.inputs, self.bias)

    def tensors(self) -> dict[str, Tensor]:
        return {"params": torch.from_numpy(self.params), "b2": torch.from_numpy(self.b2)}

    def _every_run(self, work: Callable[[int, tuple[NDArray[Any], ...]], None]) -> None:
        """``work(run, scratch)`` for every run, on all threads; a free thread takes the next."""
        queue = iter(range(self.runs))

        def worker(scratch: tuple[NDArray[Any], ...]) -> None:
            for run in queue:
                work(run, scratch)

        if self.threads == 1:
            worker(self.scratch[0])
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(worker, self.scratch))

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        # A run's own rows lie together: those of another would not fit into the cache.
        tables = [np.ascontiguousarray(table.transpose(0, 1)) for table in (class_weights, rates)]

        def work(run: int, scratch: tuple[NDArray[Any], ...]) -> None:
            self._train(run, self.params, self.b2, *tables, self.points["train"], scratch)

        self._every_run(work)
        self.step += len(rates)

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Accuracy and loss. The forward pass of training yields them 14 times faster than
        PyTorch (64 runs, H = 100), which counts where a sweep records them often, and to the
        same bits as ever; every other metric goes through the one function for all engines."""
        names = [f"{part}_{name}" for part in PARTS for name in ("loss", "accuracy")]
        results = {name: np.zeros(self.runs) for name in names}

        def work(run: int, scratch: tuple[NDArray[Any], ...]) -> None:
            for part, points in self.points.items():
                loss, accuracy, _ = self._measure(
                    run, self.counts[part], self.params, self.b2, points, scratch
                )
                results[f"{part}_loss"][run], results[f"{part}_accuracy"][run] = loss, accuracy

        self._every_run(work)
        return results


class CompiledEngine(Engine):
    """The simple model on the CPU, float32 and float64."""

    name = "compiled"
    trains = SIMPLE
    session = CompiledSession
    one_by_one = True

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if device != "cpu":
            return f"trains on the CPU, not on device={device}"
        if (other := unlisted(self.trains, run)) is not None:
            return other
        if 3 * ((classes := load(run.dataset).classes) - 1) > LARGEST:
            return f"takes at most {LARGEST // 3 + 1} classes, not {classes}"
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
