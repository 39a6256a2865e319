"""Train one batch with one engine, in chunks of steps, and record it along the way."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dynsweep.engines import Engine
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import torch_settings
from dynsweep.store import Trajectory
from dynsweep.training.checkpoints import Checkpoint, Snapshot
from dynsweep.training.observers import Observer
from dynsweep.training.probe import Probe, measure
from dynsweep.training.schedules import Schedule

log = logging.getLogger(__name__)

# A chunk lasts about this long: short enough for Ctrl-C and a smooth progress bar, long enough
# that an engine which keeps weights in registers is not made to give them up often.
CHUNK_SECONDS = 0.25


class Preempted(BaseException):
    """The training was asked to stop, and has saved what it had; no error of any run."""


@dataclass(frozen=True)
class Outcome:
    """How a batch ended.

    Attributes:
        metrics: the columns of :mod:`dynsweep.metrics` at the last step, each ``(runs,)``.
        weights: final weights by name, with a leading ``runs`` axis.
        diverged: whether a weight or the training loss is not finite, shape ``(runs,)``.
        trajectory: what was recorded, by step and column.
        seconds: wall time.
    """

    metrics: dict[str, NDArray[np.float64]]
    weights: dict[str, NDArray[np.floating]]
    diverged: NDArray[np.bool_]
    trajectory: Trajectory
    seconds: float


def train(
    batch: Batch,
    engine: Engine,
    device: str,
    on_steps: Callable[[int], None] = lambda steps: None,
    checkpoint: Checkpoint | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train ``batch`` to its last step; ``on_steps`` hears of every chunk.

    With a ``checkpoint``, the training goes on from it if there is one, and saves itself there.

    Raises:
        Preempted: soon after ``stop`` returns true, with everything saved in ``checkpoint``.
    """
    with torch_settings(batch.first, device):
        start = time.perf_counter()
        session, probe = engine.begin(batch, device), Probe(batch, device)
        schedule = Schedule(batch, device, probe)
        observer = Observer(batch, schedule, probe)
        steps = batch.steps
        if checkpoint and (before := checkpoint.load()):
            session.restore(before.step, before.state)
            schedule.restore(before.state)
            for step, columns in before.trajectory.items():
                observer.trajectory.add(step, columns)
            start -= before.seconds
            log.info("Going on from step %d", before.step)
            on_steps(before.step)
        chunk = 16
        for halt in observer.stops:
            while session.step < halt:
                taken = min(chunk, halt - session.step)
                tick = time.perf_counter()
                schedule.advance(session, taken)
                seconds = max(time.perf_counter() - tick, 1e-9)
                on_steps(taken)
                # At most fourfold: first chunks also pay for compilation and cold caches.
                chunk = max(1, min(4 * chunk, int(taken * CHUNK_SECONDS / seconds)))
                stopping = stop()
                if checkpoint and (stopping or checkpoint.due()) and session.step < steps:
                    so_far = time.perf_counter() - start
                    state = session.state() | schedule.state()
                    checkpoint.save(Snapshot(session.step, so_far, state, observer.trajectory))
                if stopping and session.step < steps:
                    raise Preempted
            if session.step == halt:
                observer.record(session)
        metrics, weights = measure(session, probe), session.weights()
        finite = np.isfinite(metrics["train_loss"])
        for values in weights.values():
            finite &= np.isfinite(values).reshape(len(batch), -1).all(axis=1)
        seconds = time.perf_counter() - start
        return Outcome(metrics, weights, ~finite, observer.trajectory, seconds)
