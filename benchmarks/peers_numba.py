"""The compiled engine's algorithm as plain loops under ``@njit``: what its own LLVM is worth.

The same operations: differences of the output weights, masked sums of the loss's gradient, no look
at the samples twice. Loops over samples are what LLVM can turn into vectors by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_threads
from dynsweep.training.schedules import Schedule


@numba.njit(nogil=True, fastmath=True, cache=False)
def train(w1, b1, w2, b2, x, labels, weights, rates, z, q):  # type: ignore[no-untyped-def]
    """Steps of one run: w1 (units, 2), w2 (units, 3); weights (steps, 3), rates (steps,)."""
    units, samples = len(w1), x.shape[1]
    share = np.float32(1 / samples)
    for step in range(len(rates)):
        rate = rates[step]
        z[:] = 0
        for u in range(units):
            p0, p1, p2 = w1[u, 0], w1[u, 1], b1[u]
            v0, v1 = w2[u, 0] - w2[u, 2], w2[u, 1] - w2[u, 2]
            for j in range(samples):
                h = max(p0 * x[0, j] + p1 * x[1, j] + p2, np.float32(0))
                z[0, j] += h * v0
                z[1, j] += h * v1
        t0 = t1 = np.float32(0)
        for j in range(samples):
            e0 = np.exp(z[0, j] + (b2[0] - b2[2]))
            e1 = np.exp(z[1, j] + (b2[1] - b2[2]))
            weight = weights[step, labels[j]] * share
            scale = weight / (e0 + e1 + np.float32(1))
            g0 = e0 * scale - (weight if labels[j] == 0 else np.float32(0))
            g1 = e1 * scale - (weight if labels[j] == 1 else np.float32(0))
            q[0, j], q[1, j] = x[0, j] * g0, x[0, j] * g1
            q[2, j], q[3, j] = x[1, j] * g0, x[1, j] * g1
            q[4, j], q[5, j] = g0, g1
            t0 += g0
            t1 += g1
        b2[0] -= rate * t0
        b2[1] -= rate * t1
        b2[2] += rate * (t0 + t1)
        for u in range(units):
            p0, p1, p2 = w1[u, 0], w1[u, 1], b1[u]
            s0 = s1 = s2 = s3 = s4 = s5 = np.float32(0)
            for j in range(samples):
                on = np.float32(p0 * x[0, j] + p1 * x[1, j] + p2 > 0)
                s0 += on * q[0, j]
                s1 += on * q[1, j]
                s2 += on * q[2, j]
                s3 += on * q[3, j]
                s4 += on * q[4, j]
                s5 += on * q[5, j]
            v0, v1 = w2[u, 0] - w2[u, 2], w2[u, 1] - w2[u, 2]
            d0, d1 = s0 * p0 + s2 * p1 + s4 * p2, s1 * p0 + s3 * p1 + s5 * p2
            w1[u, 0] -= rate * (s0 * v0 + s1 * v1)
            w1[u, 1] -= rate * (s2 * v0 + s3 * v1)
            b1[u] -= rate * (s4 * v0 + s5 * v1)
            w2[u, 0] -= rate * d0
            w2[u, 1] -= rate * d1
            w2[u, 2] += rate * (d0 + d1)


def batched(batch: Batch) -> Callable[[int], None]:
    """Trains runs as the engine does, a thread to a run; ``.weights`` of the result are theirs."""
    data = batch.dataset
    x = np.ascontiguousarray(data.train_inputs.T.astype(np.float32))
    drawn = {
        name: value.numpy().astype(np.float32) for name, value in batch.initial_weights().items()
    }
    schedule, threads = Schedule(batch, "cpu"), available_threads()
    step = 0

    def advance(steps: int) -> None:
        nonlocal step
        weights: Any = schedule.class_weights(step, steps).numpy()
        rates: Any = schedule.rates(step, steps).numpy()

        def work(thread: int) -> None:
            z, q = np.zeros((2, x.shape[1]), np.float32), np.zeros((6, x.shape[1]), np.float32)
            for run in range(thread, len(batch), threads):
                mine = (drawn[name][run] for name in ("w1", "b1", "w2", "b2"))
                table = np.ascontiguousarray(weights[:, run])
                train(*mine, x, data.train_labels, table, rates[:, run].copy(), z, q)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
        step += steps

    # (runs, units, inputs), as the loops read it.
    drawn["w1"] = np.ascontiguousarray(drawn["w1"].swapaxes(1, 2))
    advance.weights = drawn  # type: ignore[attr-defined]
    return advance
