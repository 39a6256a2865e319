"""The store: what a sweep directory holds, append-only and crash-safe.

Every writing process has one file of its own, ``DIR/runs/<time>-<host>-<pid>-<random>.jsonl``;
no file has two writers and no locks are needed, on a laptop or on NFS. A finished batch is
one append: a line with what its runs share, then a line per run. Readers take whole lines
only, so a process killed while writing leaves whole records or none. The final weights of a
batch stand beside it in one ``DIR/weights/*.npz``, and what was recorded along its runs in one
``DIR/trajectories/*.csv.gz``: both written (to a temporary name, then renamed) before the
records that mention them.
"""

from dynsweep.store.paths import SweepPaths
from dynsweep.store.reading import latest, read, supersedes
from dynsweep.store.records import (
    COMPLETED,
    DIVERGED,
    FAILED,
    FINISHED,
    METRICS,
    STATUSES,
    Record,
    Store,
)
from dynsweep.store.trajectories import load_trajectories, write_trajectory
from dynsweep.store.trajectory import WEIGHTS, Columns, Trajectory
from dynsweep.store.weights import load_snapshots, load_weights, write_snapshots, write_weights

__all__ = [
    "COMPLETED",
    "DIVERGED",
    "FAILED",
    "FINISHED",
    "METRICS",
    "STATUSES",
    "WEIGHTS",
    "Columns",
    "Record",
    "Store",
    "SweepPaths",
    "Trajectory",
    "latest",
    "load_snapshots",
    "load_trajectories",
    "load_weights",
    "read",
    "supersedes",
    "write_snapshots",
    "write_trajectory",
    "write_weights",
]
