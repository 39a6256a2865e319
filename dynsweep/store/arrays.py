"""Arrays of a batch: recorded along its training in memory, and what stands in files of their own.

Final weights, and those along the runs (snapshots), are npz files; what was observed is a
compressed CSV.
"""

from __future__ import annotations

import gzip
import io
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dynsweep.lazy import np
from dynsweep.store.damage import Damaged, left_out
from dynsweep.store.files import SweepPaths
from dynsweep.store.records import METRICS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]
    Weights = dict[str, NDArray[np.floating]]
else:
    Columns = Weights = dict

WEIGHTS = "weights/"  # begins the names of recorded weights


class Trajectory(Mapping[int, Columns]):
    """Columns by step, each value of shape ``(runs, ...)``; steps are added in order.

    Values are copied into few large arrays, which double when they are full. Many small ones that
    stay, made between the large temporary ones of a measurement, would leave holes that the
    allocator cannot fill.
    """

    def __init__(self) -> None:
        self._columns: dict[str, tuple[list[int], NDArray[Any]]] = {}
        self._steps: dict[int, None] = {}

    def add(self, step: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Record ``columns`` at a step later than all before."""
        self._steps[step] = None
        for name, value in columns.items():
            if name not in self._columns:
                self._columns[name] = [], np.zeros((16, *value.shape), dtype=value.dtype)
            steps, values = self._columns[name]
            if len(steps) == len(values):
                values = np.concatenate([values, np.zeros_like(values)])
                self._columns[name] = steps, values
            values[len(steps)] = value
            steps.append(step)

    def column(self, name: str) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The steps at which a quantity was recorded, and its values ``(steps, runs, ...)``."""
        steps, values = self._columns[name]
        return np.array(steps, dtype=np.int64), values[: len(steps)]

    def of_runs(self, rows: Sequence[int]) -> Trajectory:
        """The same of some runs, by their places on the runs axis; a run may occur twice."""
        chosen = Trajectory()
        chosen._steps = self._steps
        for name, (steps, values) in self._columns.items():
            chosen._columns[name] = steps, values[:, rows]
        return chosen

    @property
    def names(self) -> list[str]:
        return list(self._columns)

    def __getitem__(self, step: int) -> Columns:
        if step not in self._steps:
            raise KeyError(step)
        columns: Columns = {}
        for name, (steps, values) in self._columns.items():
            place = bisect_left(steps, step)
            if place < len(steps) and steps[place] == step:
                columns[name] = values[place]
        return columns

    def __iter__(self) -> Iterator[int]:
        return iter(self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def write_weights(ids: Sequence[str], weights: Mapping[str, Any]) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: arrays by name, first axis ``runs`` in the order of ``ids``."""
    return lambda file: np.savez(file, ids=np.array(ids), **weights)


def write_snapshots(ids: Sequence[str], trajectory: Trajectory) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: arrays ``(steps, runs, ...)`` by name, with ``steps``, ``ids``."""
    names = [name for name in trajectory.names if name.startswith(WEIGHTS)]
    arrays = {name.removeprefix(WEIGHTS): trajectory.column(name)[1] for name in names}
    return write_weights(ids, {"steps": trajectory.column(names[0])[0], **arrays})


def write_trajectory(ids: Sequence[str], trajectory: Trajectory) -> Callable[[BinaryIO], None]:
    """For :meth:`Store.attach`: columns by step, the runs of each in the order of ``ids``.

    A quantity that was not recorded at a step is left empty there.
    """
    import pandas as pd

    recorded = {n: trajectory.column(n) for n in trajectory.names if not n.startswith(WEIGHTS)}
    steps = np.unique(np.concatenate([places for places, _ in recorded.values()]))
    table = {"id": np.repeat(ids, len(steps)), "step": np.tile(steps, len(ids))}
    for name, (places, values) in recorded.items():
        spread = np.full((len(ids), len(steps)), np.nan)
        spread[:, np.searchsorted(steps, places)] = values.T
        table[name] = spread.ravel()
    frame = pd.DataFrame(table)
    return lambda file: frame.to_csv(file, index=False, compression="gzip", float_format="%.9g")


def load_weights(directory: str | Path, file: str) -> dict[str, Weights]:
    """Final weights of all runs of a batch, by the records' ``id``, laid out as ``Model.init``.

    ``file`` is what the records of the batch have as ``weights``. Raises :class:`Damaged`.
    """
    path = inside(SweepPaths(directory).weights, file)
    arrays = load_arrays(path, "ids")
    ids = arrays.pop("ids").tolist()
    _check_axes(path, arrays, len(ids))
    return {
        run: {name: values[row] for name, values in arrays.items()} for row, run in enumerate(ids)
    }


def load_snapshots(directory: str | Path, file: str, run_id: str) -> dict[int, Weights]:
    """The weights recorded along one run, by step.

    ``file`` and ``run_id`` are what its record has as ``snapshots`` and ``id``. Raises
    :class:`Damaged`.
    """
    path = inside(SweepPaths(directory).snapshots, file)
    arrays = load_arrays(path, "ids", "steps")
    ids, steps = arrays.pop("ids").tolist(), arrays.pop("steps").tolist()
    if run_id not in ids:
        raise Damaged(path, f"holds nothing of run {run_id}")
    _check_axes(path, arrays, len(steps), len(ids))
    row = ids.index(run_id)
    return {
        int(step): {name: values[k, row] for name, values in arrays.items()}
        for k, step in enumerate(steps)
    }


def inside(folder: Path, file: str) -> Path:
    """The file of a record: in that folder, wherever it says it were."""
    path = folder / file
    if Path(file).name != file or path.resolve().parent != folder.resolve():
        raise Damaged(path, "is outside the folder, and not opened")
    return path


def load_arrays(path: Path, *needed: str) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file, with these among them, or :class:`Damaged`.

    The format has checksums of its members, so that what can be read is right.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        count = _members(path)
    except Exception as error:  # of whatever kind damage makes NumPy and zipfile stumble over
        raise Damaged(path, error) from None
    # NumPy takes a member without a header of its own for plain bytes.
    whole = len(arrays) == count and all(map(_is_array, arrays.values()))
    if not whole or not set(needed) <= arrays.keys():
        raise Damaged(path, "is damaged")
    return arrays


def _members(path: Path) -> int:
    """How many members a zip file has by its last record: readers believe its directory, which
    has no checksum and may have lost some. (NumPy writes no comment behind that record.)"""
    with path.open("rb") as file:
        file.seek(-22, io.SEEK_END)
        end = file.read()
    return int.from_bytes(end[10:12], "little") if end.startswith(b"PK\x05\x06") else -1


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def _check_axes(path: Path, arrays: Mapping[str, NDArray[Any]], *axes: int) -> None:
    if any(value.shape[: len(axes)] != axes for value in arrays.values()):
        raise Damaged(path, "is damaged")


def load_trajectories(directory: str | Path) -> pd.DataFrame:
    """All recorded trajectories of a sweep directory: ``id``, ``step`` and what was observed.

    ``id`` is that of ``results.csv``. A single file reads with ``pandas.read_csv``. Damaged files
    are left out, with a warning.
    """
    import pandas as pd

    tables = [pd.DataFrame(columns=["id", "step", *METRICS])]
    for path in sorted(SweepPaths(directory).trajectories.glob("*.csv.gz")):
        try:
            tables.append(load_trajectory(path))
        except Damaged as error:
            left_out(error, "no trajectories of the runs of one batch")
    whole = pd.concat(tables[1:] or tables, ignore_index=True)
    return whole.drop_duplicates(["id", "step"], keep="last", ignore_index=True)


def load_trajectory(path: Path) -> pd.DataFrame:
    """What one file of trajectories holds, or :class:`Damaged`."""
    import pandas as pd

    try:
        # All of it first: its checksum is at the end.
        table = pd.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())))
    except Exception as error:  # of gzip, zlib or pandas
        raise Damaged(path, error) from None
    if not {"id", "step"} <= set(table.columns):
        raise Damaged(path, "is damaged")
    return table
