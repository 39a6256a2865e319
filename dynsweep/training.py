"""Train one batch with one engine, in chunks of steps, and record it along the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynsweep.batches import Batch
from dynsweep.checkpoints import Checkpoint, Snapshot
from dynsweep.config import ObserveConfig
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
        trajectory: metrics by the step at which they were recorded.
        seconds: wall time.
    """

    metrics: Metrics
    weights: dict[str, NDArray[np.floating]]
    diverged: NDArray[np.bool_]
    trajectory: dict[int, Metrics]
    seconds: float


def record_steps(observe: ObserveConfig, steps: int) -> list[int]:
    """The steps after which metrics are recorded: increasing, 0 and ``steps`` among them.

    Log spacing is that of ``step + 1``; records that would fall on one step are one record.
    """
    if observe.records == 0:
        return []
    if observe.spacing == "log":
        exact = np.geomspace(1, steps + 1, observe.records) - 1
    else:
        exact = np.linspace(0, steps, observe.records)
    return sorted({*np.rint(exact).astype(int).tolist(), steps})


def train(
    batch: Batch,
    engine: Engine,
    device: str,
    on_steps: Callable[[int], None] = lambda steps: None,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
    """Train ``batch`` to its last step; ``on_steps`` hears of every chunk.

    With a ``checkpoint``, the training goes on from it if there is one, and saves itself there.
    """
    start = time.perf_counter()
    session = engine.begin(batch, device)
    steps = batch.steps
    trajectory: dict[int, Metrics] = {}
    if checkpoint and (before := checkpoint.load()):
        session.restore(before.step, before.state)
        trajectory.update(before.trajectory)
        start -= before.seconds
        on_steps(before.step)
    chunk = 16
    for stop in [*record_steps(batch.first.observe, steps), steps]:
        while session.step < stop:
            taken = min(chunk, stop - session.step)
            tick = time.perf_counter()
            session.advance(taken)
            seconds = max(time.perf_counter() - tick, 1e-9)
            on_steps(taken)
            # At most fourfold at a time: first chunks also pay for compilation and cold caches.
            chunk = max(1, min(4 * chunk, int(taken * CHUNK_SECONDS / seconds)))
            if checkpoint and checkpoint.due() and session.step < steps:
                so_far = time.perf_counter() - start
                checkpoint.save(Snapshot(session.step, so_far, session.state(), trajectory))
        if stop not in trajectory:
            trajectory[stop] = session.evaluate()
    metrics, weights = trajectory[steps], session.weights()
    finite = np.isfinite(metrics.train_loss)
    for values in weights.values():
        finite &= np.isfinite(values).reshape(len(batch), -1).all(axis=1)
    if batch.first.observe.records == 0:
        trajectory = {}
    return Outcome(metrics, weights, ~finite, trajectory, time.perf_counter() - start)
