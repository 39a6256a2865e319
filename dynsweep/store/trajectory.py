"""What was recorded along trainings: in memory, and as one compressed CSV per batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dynsweep.store.paths import SweepPaths
from dynsweep.store.records import METRICS

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, NDArray[Any]]
WEIGHTS = "weights/"  # begins the names of recorded weights


class _Column:
    """One quantity at increasing steps; arrays double when they are full."""

    def __init__(self, value: NDArray[Any]) -> None:
        self.count = 0
        self.steps = np.zeros(16, dtype=np.int64)
        self.values = np.zeros((16, *value.shape), dtype=value.dtype)

    def append(self, step: int, value: NDArray[Any]) -> None:
        if self.count == len(self.steps):
            self.steps = np.concatenate([self.steps, np.zeros_like(self.steps)])
            self.values = np.concatenate([self.values, np.zeros_like(self.values)])
        self.steps[self.count], self.values[self.count] = step, value
        self.count += 1

    def find(self, step: int) -> NDArray[Any] | None:
        row = int(np.searchsorted(self.steps[: self.count], step))
        found = row < self.count and self.steps[row] == step
        return self.values[row] if found else None


class Trajectory(Mapping[int, Columns]):
    """Columns by step, each value of shape ``(runs, ...)``; steps are added in order.

    Values are copied into few large arrays. Many small ones that stay, made between the large
    temporary ones of a measurement, would leave holes that the allocator cannot fill.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _Column] = {}
        self._steps: dict[int, None] = {}

    def add(self, step: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Record ``columns`` at a step later than all before."""
        self._steps[step] = None
        for name, value in columns.items():
            if name not in self._columns:
                self._columns[name] = _Column(np.asarray(value))
            self._columns[name].append(step, value)

    def column(self, name: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The steps at which a quantity was recorded, and its values ``(steps, runs, ...)``."""
        column = self._columns[name]
        return column.steps[: column.count], column.values[: column.count]

    def of_runs(self, rows: Sequence[int]) -> Trajectory:
        """The same of some runs, by their places on the runs axis; a run may occur twice."""
        chosen = Trajectory()
        chosen._steps = self._steps
        for name, column in self._columns.items():
            chosen._columns[name] = copy.copy(column)
            chosen._columns[name].values = column.values[:, rows]
        return chosen

    @property
    def names(self) -> list[str]:
        return list(self._columns)

    def __getitem__(self, step: int) -> Columns:
        if step not in self._steps:
            raise KeyError(step)
        found = {name: column.find(step) for name, column in self._columns.items()}
        return {name: value for name, value in found.items() if value is not None}

    def __iter__(self) -> Iterator[int]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


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
