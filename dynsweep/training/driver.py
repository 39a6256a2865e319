"""Train one batch with one engine, in chunks of steps; record and save it along the way."""

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynsweep.engines import Engine
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import torch_settings
from dynsweep.errors import Preempted, StorageError
from dynsweep.store import Columns, Damaged, Trajectory
from dynsweep.store.arrays import load_arrays
from dynsweep.store.damage import left_out
from dynsweep.store.files import make_folder, replacing
from dynsweep.training.observers import Observer
from dynsweep.training.probe import Probe, measure
from dynsweep.training.schedules import Schedule

log = logging.getLogger(__name__)

# A chunk lasts about this long: short enough for Ctrl-C and a smooth progress bar, long enough
# that an engine which keeps weights in registers is not made to give them up often.
CHUNK_SECONDS = 0.25


class Outcome(NamedTuple):
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


class Checkpoint:
    """The file of one batch, replaced as a whole at intervals.

    Args:
        folder: of the sweep's checkpoints.
        runs: identities of the batch's runs, in order.
        engine: its name, and what else must be the same for the same batch to go on from it.
        minutes: least time between two saves; 0 saves after every chunk of steps.
    """

    def __init__(self, folder: Path, runs: Sequence[str], engine: str, minutes: float) -> None:
        key = hashlib.sha256(" ".join([engine, *runs]).encode()).hexdigest()[:16]
        self.path = folder / f"{key}.npz"
        self.runs = runs
        self.seconds = 60 * minutes
        self.saved = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.saved >= self.seconds

    def save(self, state: Mapping[str, NDArray[Any]], trajectory: Trajectory) -> None:
        arrays: dict[str, Any] = {f"state/{name}": value for name, value in state.items()}
        arrays["runs"] = np.array(self.runs)
        for name in trajectory.names:
            arrays[f"steps/{name}"], arrays[f"values/{name}"] = trajectory.column(name)
        make_folder(self.path.parent)
        with replacing(self.path, durable=True) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
        self.saved = time.monotonic()

    def load(self) -> tuple[dict[str, NDArray[Any]], Trajectory] | None:
        """What was saved last; ``None`` if nothing was that can be read."""
        if not self.path.exists():
            return None
        try:
            arrays = load_arrays(self.path, "state/step", "state/seconds")
        except Damaged as error:
            left_out(error, "its batch is trained from the start")
            return None
        state, rows, trajectory = {}, defaultdict[int, Columns](dict), Trajectory()
        for kind, _, name in (key.partition("/") for key in arrays):
            if kind == "state":
                state[name] = arrays[f"state/{name}"]
            elif kind == "steps":
                steps, values = arrays[f"steps/{name}"], arrays[f"values/{name}"]
                for step, value in zip(steps.tolist(), values, strict=True):
                    rows[step][name] = value
        for step in sorted(rows):
            trajectory.add(step, rows[step])
        return state, trajectory

    def remove(self) -> None:
        for file in self.path.parent.glob(f"*{self.path.name}*"):  # half-written ones too
            file.unlink(missing_ok=True)
        with suppress(OSError):  # there is none, or it has other checkpoints
            self.path.parent.rmdir()


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
            state, observer.trajectory = before
            session.restore(int(state["step"]), state)
            schedule.restore(state)
            start -= float(state["seconds"])
            log.info("Going on from step %d", session.step)
            on_steps(session.step)
        chunk = 1  # of a large model a step may take seconds
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
                    position = {"step": session.step, "seconds": time.perf_counter() - start}
                    state = session.state() | schedule.state()
                    state |= {name: np.array(value) for name, value in position.items()}
                    try:
                        checkpoint.save(state, observer.trajectory)
                    except StorageError as error:
                        if stopping:
                            raise
                        checkpoint.saved = time.monotonic()
                        log.warning("%s; the batch goes on without being saved", error)
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
