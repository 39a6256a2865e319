"""What was recorded along runs: one compressed CSV per batch, a row per run and recorded step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dynsweep.store.paths import SweepPaths
from dynsweep.store.records import METRICS
from dynsweep.store.trajectory import WEIGHTS, Trajectory

if TYPE_CHECKING:
    import pandas as pd


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


def load_trajectories(directory: str | Path) -> pd.DataFrame:
    """All recorded trajectories of a sweep directory: ``id``, ``step`` and what was observed.

    ``id`` is that of ``results.csv``. A single file reads with ``pandas.read_csv``.
    """
    import pandas as pd

    files = sorted(SweepPaths(directory).trajectories.glob("*.csv.gz"))
    if not files:
        return pd.DataFrame(columns=["id", "step", *METRICS])
    whole = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    return whole.drop_duplicates(["id", "step"], keep="last", ignore_index=True)
