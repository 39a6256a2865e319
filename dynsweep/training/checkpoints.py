"""The state of a batch in flight, on disk, so that a killed training goes on where it was."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynsweep.store import Trajectory
from dynsweep.store.files import replacing


@dataclass(frozen=True)
class Snapshot:
    """A training between two steps: the session's arrays, and what was recorded so far."""

    step: int
    seconds: float
    state: Mapping[str, NDArray[Any]]
    trajectory: Trajectory


class Checkpoint:
    """The file of one batch, replaced as a whole at intervals.

    Args:
        folder: of the sweep's checkpoints.
        runs: identities of the batch's runs, in order; together with the engine they name the
            file, so that only the same batch goes on from it.
        engine: name of the engine.
        minutes: least time between two saves; 0 saves after every chunk of steps.
    """

    def __init__(self, folder: Path, runs: Sequence[str], engine: str, minutes: float) -> None:
        key = hashlib.sha256(" ".join([engine, *runs]).encode()).hexdigest()[:16]
        self.path = folder / f"{key}.npz"
        self.seconds = 60 * minutes
        self.saved = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.saved >= self.seconds

    def save(self, snapshot: Snapshot) -> None:
        arrays: dict[str, Any] = {f"state/{name}": value for name, value in snapshot.state.items()}
        arrays["position"] = np.array([snapshot.step, snapshot.seconds])
        for name in snapshot.trajectory.names:
            arrays[f"steps/{name}"], arrays[f"values/{name}"] = snapshot.trajectory.column(name)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path, durable=True) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
        self.saved = time.monotonic()

    def load(self) -> Snapshot | None:
        """What was saved last; ``None`` if nothing was."""
        if not self.path.exists():
            return None
        with np.load(self.path) as arrays:
            state = {k[6:]: arrays[k] for k in arrays.files if k.startswith("state/")}
            names = [k.partition("/")[2] for k in arrays.files if k.startswith("steps/")]
            columns = {name: (arrays[f"steps/{name}"], arrays[f"values/{name}"]) for name in names}
            trajectory = Trajectory()
            for step in sorted({int(one) for steps, _ in columns.values() for one in steps}):
                rows = {n: values[steps == step] for n, (steps, values) in columns.items()}
                trajectory.add(step, {name: row[0] for name, row in rows.items() if len(row)})
            position, seconds = arrays["position"].tolist()
        return Snapshot(int(position), seconds, state, trajectory)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        for left in self.path.parent.glob(f".{self.path.name}.*.partial"):
            left.unlink(missing_ok=True)
        if self.path.parent.is_dir() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()
