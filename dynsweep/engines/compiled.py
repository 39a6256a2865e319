"""The compiled engine: the simple model on the CPU, about as fast as the CPU can multiply.

One thread trains one run at a time, with everything the run needs in its first-level cache;
runs never meet, so neither their company in a batch nor the number of threads changes a bit.
The compiled code (:mod:`dynsweep.engines.compiled_kernel`) is imported when training begins:
choosing an engine stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines.base import Session
from dynsweep.engines.batches import Batch, total_steps
from dynsweep.engines.capabilities import SIMPLE, unlisted
from dynsweep.engines.devices import available_threads

UNITS = 4  # hidden units of a block of weights, as in the passes
VECTOR = 64  # bytes
LARGEST = 300  # gradient rows for which the passes are still small enough to unroll
BATCH_SECONDS = 20.0  # a batch takes about so long: what a killed sweep loses
SECONDS = 2e-10  # per step, sample and hidden unit, on one thread
MOST_BYTES = 2**28  # of weights in a batch


def _aligned(size: int, dtype: Any) -> NDArray[Any]:
    """Zeros that start at a whole vector."""
    size *= np.dtype(dtype).itemsize
    raw = np.zeros(size + VECTOR, np.uint8)
    start = -raw.ctypes.data % VECTOR
    return raw[start : start + size].view(dtype)


@dataclass(frozen=True)
class Points:
    """One dataset as the kernels read it, padded to whole vectors with samples of share 0."""

    count: int
    arrays: tuple[NDArray[Any], NDArray[Any], NDArray[Any], Any]

    @classmethod
    def of(cls, inputs: NDArray[Any], labels: NDArray[Any], dtype: Any) -> Points:
        count, features = inputs.shape
        lanes = VECTOR // np.dtype(dtype).itemsize
        padded = -(-count // lanes) * lanes
        x = _aligned(features * padded, dtype)
        x.reshape(features, padded)[:, :count] = inputs.T
        label = _aligned(padded, f"i{np.dtype(dtype).itemsize}")
        label[:count] = labels
        shares = _aligned(padded, dtype)
        shares[:count] = 1 / count
        return cls(count, (x, label, shares, np.dtype(dtype).type(1)))


class CompiledSession(Session):
    """Training of one batch; see :class:`dynsweep.engines.base.Session`."""

    def __init__(self, batch: Batch) -> None:
        from dynsweep.engines.compiled_kernel import kernels

        data, run = batch.dataset, batch.first
        assert isinstance(run.model, MLPConfig)
        self.step, self.runs = 0, len(batch)
        self.width, self.bias = run.model.width, run.model.bias
        self.dtype = np.dtype(run.dtype)
        self.inputs, self.classes = data.train_inputs.shape[1], data.classes
        self.train = Points.of(data.train_inputs, data.train_labels, self.dtype)
        self.validation = Points.of(data.validation_inputs, data.validation_labels, self.dtype)
        self._train, self._measure = kernels(self.inputs, self.classes, int(self.bias))
        self._pack({name: value.numpy() for name, value in batch.initial_weights().items()})
        self.threads = min(run.engine.threads or available_threads(), self.runs)
        self.scratch = [self._scratch() for _ in range(self.threads)]

    def _pack(self, params: dict[str, NDArray[np.float64]]) -> None:
        """Weights as the passes want them: rows of w1, b1, v and w2 by blocks of units, the
        last block filled up with units whose weights are 0 and stay 0."""
        w1, w2 = params["w1"].astype(self.dtype), params["w2"].astype(self.dtype).swapaxes(1, 2)
        rows = [w1, w2[:, :-1] - w2[:, -1:], w2]
        if self.bias:
            rows.insert(1, params["b1"].astype(self.dtype)[:, None])
        stacked = np.concatenate(rows, axis=1)
        stacked = np.pad(stacked, ((0, 0), (0, 0), (0, -stacked.shape[2] % UNITS)))
        blocks = stacked.reshape(*stacked.shape[:2], -1, UNITS).swapaxes(1, 2)
        self.params = np.ascontiguousarray(blocks.reshape(self.runs, -1))
        self.b2 = np.zeros((self.runs, self.classes), self.dtype)
        if self.bias:
            self.b2[:] = params["b2"]

    def weights(self) -> dict[str, NDArray[np.floating]]:
        width, inputs = self.width, self.inputs
        rows = inputs + self.bias + 2 * self.classes - 1
        blocks = self.params.reshape(self.runs, -1, rows, UNITS).swapaxes(1, 2)
        plain = blocks.reshape(self.runs, rows, -1)[:, :, :width]
        w2 = plain[:, -self.classes :].swapaxes(1, 2)
        params = {"w1": plain[:, :inputs].copy(), "w2": np.ascontiguousarray(w2)}
        if self.bias:
            params |= {"b1": plain[:, inputs].copy(), "b2": self.b2.copy()}
        return params

    def state(self) -> dict[str, NDArray[Any]]:
        return {"params": self.params.copy(), "b2": self.b2.copy()}

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        self.step = step
        self.params[:], self.b2[:] = state["params"], state["b2"]

    def _scratch(self) -> tuple[NDArray[Any], ...]:
        """One thread's logits, gradient rows, active bits and bias gradients."""
        samples = max(len(self.train.arrays[1]), len(self.validation.arrays[1]))
        units, lanes = -(-self.width // UNITS) * UNITS, VECTOR // self.dtype.itemsize
        return (
            _aligned((self.classes - 1) * samples, self.dtype),
            _aligned((self.inputs + 1) * (self.classes - 1) * samples, self.dtype),
            _aligned(units * samples // lanes, f"u{lanes // 8}"),
            np.zeros(self.classes - 1, self.dtype),
        )

    def _every_run(self, work: Callable[[int, tuple[NDArray[Any], ...]], None]) -> None:
        """``work(run, scratch)`` for every run, on all threads; a free thread takes the next."""
        queue = iter(range(self.runs))

        def worker(scratch: tuple[NDArray[Any], ...]) -> None:
            for run in queue:
                work(run, scratch)

        if self.threads == 1:
            return worker(self.scratch[0])
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(worker, self.scratch))
        return None

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        # A run's own rows lie together: those of another would not fit into the cache.
        tables = [
            np.ascontiguousarray(table.numpy().swapaxes(0, 1)) for table in (class_weights, rates)
        ]

        def work(run: int, scratch: tuple[NDArray[Any], ...]) -> None:
            self._train(run, self.params, self.b2, *tables, self.train.arrays, scratch)

        self._every_run(work)
        self.step += len(rates)

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Accuracy and loss. The forward pass of training yields them 14 times faster than
        PyTorch (64 runs, H = 100), which counts where a sweep records them often, and to the
        same bits as ever; every other metric goes through the one function for all engines."""
        points = {"train": self.train, "validation": self.validation}
        names = [f"{part}_{name}" for part in points for name in ("loss", "accuracy")]
        results = {name: np.zeros(self.runs) for name in names}

        def work(run: int, scratch: tuple[NDArray[Any], ...]) -> None:
            for part, some in points.items():
                loss, accuracy, _ = self._measure(
                    run, some.count, self.params, self.b2, some.arrays, scratch
                )
                results[f"{part}_loss"][run], results[f"{part}_accuracy"][run] = loss, accuracy

        self._every_run(work)
        return results


class CompiledEngine:
    """The simple model on the CPU, float32 and float64."""

    name = "compiled"
    trains = SIMPLE

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if device != "cpu":
            return f"trains on the CPU, not on device={device}"
        if (other := unlisted(self.trains, run)) is not None:
            return other
        if 3 * ((classes := load(run.dataset).classes) - 1) > LARGEST:
            return f"takes at most {LARGEST // 3 + 1} classes, not {classes}"
        return None

    def batch_size(self, run: RunConfig, device: str) -> int:
        """Runs for BATCH_SECONDS of work, at least 16 and at most 256 to a thread."""
        data, width = load(run.dataset), run.model.width
        threads = run.engine.threads or available_threads()
        one = max(1, total_steps(run)) * len(data.train_labels) * width * SECONDS
        fitting = MOST_BYTES // (width * (2 * data.classes + 2) * 8)
        return max(1, min(threads * int(min(max(BATCH_SECONDS / one, 16), 256)), fitting))

    def begin(self, batch: Batch, device: str) -> CompiledSession:
        return CompiledSession(batch)
