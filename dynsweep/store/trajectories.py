"""What was recorded along runs: one compressed CSV per batch, one row per run and recorded step;
and the recorded weights, one npz per batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dynsweep.store.records import METRICS
from dynsweep.store.trajectory import Trajectory

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = "weights/"  # begins the names of recorded weights


def write_trajectory(ids: Sequence[str], trajectory: Trajectory) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: columns by step, the runs of each in the order of ``ids``.

    A quantity that was not recorded at a step is left empty there.
    """
    names = [name for name in trajectory.names if not name.startswith(WEIGHTS)]
    places = {name: trajectory.column(name)[0] for name in names}
    steps = np.unique(np.concatenate([*places.values(), np.zeros(0, np.int64)]))

    def spread(name: str) -> NDArray[Any]:
        values = np.full((len(ids), len(steps)), np.nan)
        values[:, np.searchsorted(steps, places[name])] = trajectory.column(name)[1].T
        return values.ravel()

    def write(file: BinaryIO) -> None:
        import pandas as pd

        frame = pd.DataFrame(
            {
                "id": np.repeat(ids, len(steps)),
                "step": np.tile(steps, len(ids)),
                **{name: spread(name) for name in names},
            }
        )
        frame.to_csv(file, index=False, compression="gzip", float_format="%.9g")

    return write


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
