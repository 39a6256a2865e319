"""Train one batch with one engine, in chunks of steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynsweep.batches import Batch
from dynsweep.engines.base import Engine, Metrics

# A chunk lasts about this long: short enough for Ctrl-C and a smooth progress bar, long enough
# that an engine which keeps weights in registers is not made to give them up often.
CHUNK_SECONDS = 0.25


@dataclass(frozen=True)
class Outcome:
    """How a batch ended.

    Attributes:
        metrics: at the last step.
        weights: final weights by name, with a leading ``runs`` axis.
        diverged: whether a weight or the training loss is not finite, shape ``(runs,)``.
        seconds: wall time.
    """

    metrics: Metrics
    weights: dict[str, NDArray[np.floating]]
    diverged: NDArray[np.bool_]
    seconds: float


def train(
    batch: Batch, engine: Engine, device: str, on_steps: Callable[[int], None] = lambda steps: None
) -> Outcome:
    """Train ``batch`` to its last step; ``on_steps`` hears of every chunk."""
    start = time.perf_counter()
    session = engine.begin(batch, device)
    chunk = 16
    while session.step < batch.first.steps:
        chunk = min(chunk, batch.first.steps - session.step)
        tick = time.perf_counter()
        session.advance(chunk)
        took = time.perf_counter() - tick
        on_steps(chunk)
        # At most fourfold at a time: the first chunks also pay for compilation and caches.
        chunk = max(1, min(4 * chunk, int(chunk * CHUNK_SECONDS / max(took, 1e-9))))
    metrics, weights = session.evaluate(), session.weights()
    finite = np.isfinite(metrics.train_loss)
    for values in weights.values():
        finite &= np.isfinite(values).reshape(len(batch), -1).all(axis=1)
    return Outcome(metrics, weights, ~finite, time.perf_counter() - start)
