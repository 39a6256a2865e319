"""What was recorded along runs: one compressed CSV per batch, one row per run and recorded step;
and the recorded weights, one npz per batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dynsweep.results.store import METRICS

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = "weights/"  # begins the names of recorded weights

Trajectory = Mapping[int, Mapping[str, NDArray[Any]]]


def write_trajectory(ids: Sequence[str], trajectory: Trajectory) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: columns by step, the runs of each in the order of ``ids``.

    A quantity that was not recorded at a step is left empty there.
    """
    names = {n: None for columns in trajectory.values() for n in columns if WEIGHTS not in n}
    steps = [step for step, columns in trajectory.items() if any(n in columns for n in names)]
    nothing = np.full(len(ids), np.nan)

    def write(file: BinaryIO) -> None:
        import pandas as pd

        frame = pd.DataFrame(
            {
                "id": np.repeat(ids, len(steps)),
                "step": np.tile(steps, len(ids)),
                **{
                    name: np.stack([trajectory[k].get(name, nothing) for k in steps], 1).ravel()
                    for name in names
                },
            }
        )
        frame.to_csv(file, index=False, compression="gzip", float_format="%.9g")

    return write


def write_snapshots(ids: Sequence[str], trajectory: Trajectory) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: arrays ``(steps, runs, ...)`` by name, with ``steps``, ``ids``."""
    steps = snapshot_steps(trajectory)
    names = [name for name in trajectory[steps[0]] if name.startswith(WEIGHTS)]

    def write(file: BinaryIO) -> None:
        arrays: dict[str, Any] = {
            name.removeprefix(WEIGHTS): np.stack([trajectory[step][name] for step in steps])
            for name in names
        }
        np.savez(file, ids=np.array(ids), steps=np.array(steps), **arrays)

    return write


def snapshot_steps(trajectory: Trajectory) -> list[int]:
    """The steps at which weights were recorded."""
    return [k for k, columns in trajectory.items() if any(n.startswith(WEIGHTS) for n in columns)]


def load_trajectories(directory: str | Path) -> pd.DataFrame:
    """All recorded trajectories of a sweep directory: ``id``, ``step`` and what was observed.

    ``id`` is that of ``results.csv``. A single file reads with ``pandas.read_csv``.
    """
    import pandas as pd

    files = sorted((Path(directory) / "trajectories").glob("*.csv.gz"))
    if not files:
        return pd.DataFrame(columns=["id", "step", *METRICS])
    whole = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    return whole.drop_duplicates(["id", "step"], keep="last", ignore_index=True)


def load_snapshots(directory: str | Path, run: str) -> dict[int, dict[str, NDArray[Any]]]:
    """The recorded weights of the run with that ``id``, by step; empty if there are none."""
    for path in sorted((Path(directory) / "snapshots").glob("*.npz"), reverse=True):
        with np.load(path) as arrays:
            ids = arrays["ids"].tolist()
            if run in ids:
                names = [name for name in arrays.files if name not in ("ids", "steps")]
                held = {name: arrays[name][:, ids.index(run)] for name in names}
                return {
                    int(step): {name: value[k] for name, value in held.items()}
                    for k, step in enumerate(arrays["steps"])
                }
    return {}
