"""What was recorded along runs: one compressed CSV per batch, one row per run and record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from dynsweep.engines.base import Metrics
from dynsweep.results.store import METRICS

if TYPE_CHECKING:
    import pandas as pd


def write_trajectory(
    ids: Sequence[str], trajectory: Mapping[int, Metrics]
) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: metrics by step, the runs of each in the order of ``ids``."""

    def write(file: BinaryIO) -> None:
        import pandas as pd

        frame = pd.DataFrame(
            {
                "id": np.repeat(ids, len(trajectory)),
                "step": np.tile(list(trajectory), len(ids)),
                **{
                    name: np.stack([getattr(m, name) for m in trajectory.values()], 1).ravel()
                    for name in METRICS
                },
            }
        )
        frame.to_csv(file, index=False, compression="gzip", float_format="%.9g")

    return write


def load_trajectories(directory: str | Path) -> pd.DataFrame:
    """All recorded trajectories of a sweep directory: ``id, step`` and the four metrics.

    ``id`` is that of ``results.csv``. A single file reads with ``pandas.read_csv``.
    """
    import pandas as pd

    files = sorted((Path(directory) / "trajectories").glob("*.csv.gz"))
    if not files:
        return pd.DataFrame(columns=["id", "step", *METRICS])
    whole = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    return whole.drop_duplicates(["id", "step"], keep="last", ignore_index=True)
