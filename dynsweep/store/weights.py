"""Weights of the runs of a batch in one npz: final ones, and those recorded along the runs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dynsweep.store.paths import SweepPaths
from dynsweep.store.trajectory import WEIGHTS, Trajectory

Weights = dict[str, NDArray[np.floating]]


def write_weights(
    ids: Sequence[str], weights: Mapping[str, NDArray[np.floating]]
) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: arrays by name, first axis ``runs`` in the order of ``ids``."""
    return lambda file: np.savez(file, ids=np.array(ids), **weights)  # type: ignore[arg-type]


def write_snapshots(ids: Sequence[str], trajectory: Trajectory) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: arrays ``(steps, runs, ...)`` by name, with ``steps``, ``ids``."""
    names = [name for name in trajectory.names if name.startswith(WEIGHTS)]
    steps = trajectory.column(names[0])[0]

    def write(file: BinaryIO) -> None:
        arrays: dict[str, Any] = {
            name.removeprefix(WEIGHTS): trajectory.column(name)[1] for name in names
        }
        np.savez(file, ids=np.array(ids), steps=steps, **arrays)

    return write


def load_weights(directory: str | Path, file: str) -> dict[str, Weights]:
    """Final weights of all runs of a batch, by the records' ``id``, laid out as ``Model.init``.

    Args:
        directory: of the sweep.
        file: the records' ``weights``.
    """
    with np.load(SweepPaths(directory).weights / file) as arrays:
        held = {name: arrays[name] for name in arrays.files if name != "ids"}
        return {
            run: {name: values[row] for name, values in held.items()}
            for row, run in enumerate(arrays["ids"].tolist())
        }


def load_snapshots(directory: str | Path, file: str, run_id: str) -> dict[int, Weights]:
    """The weights recorded along one run, by step.

    Args:
        directory: of the sweep.
        file: the record's ``snapshots``.
        run_id: the record's ``id``.
    """
    with np.load(SweepPaths(directory).snapshots / file) as arrays:
        row = arrays["ids"].tolist().index(run_id)
        names = [name for name in arrays.files if name not in ("ids", "steps")]
        held = {name: arrays[name][:, row] for name in names}
        return {
            int(step): {name: value[k] for name, value in held.items()}
            for k, step in enumerate(arrays["steps"])
        }
