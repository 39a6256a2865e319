"""The store: what a sweep directory holds, append-only and crash-safe.

Every writing process has one file of its own, ``DIR/runs/<time>-<host>-<pid>-<random>.jsonl``;
no file has two writers and no locks are needed, on a laptop or on NFS. A finished batch is
one append: a line with what its runs share, a line per run, and the first line again. Every
line has a checksum, and readers take whole lines only: a process killed while writing leaves whole
records or none, and damage of other kinds costs the records that it hit. The final weights of a
batch stand beside it in one ``DIR/weights/*.npz``, and what was recorded along its runs in one
``DIR/trajectories/*.csv.gz``: both written (to a temporary name, then renamed) before the
records that mention them.
"""

from dynsweep.store.arrays import WEIGHTS as WEIGHTS
from dynsweep.store.arrays import Columns as Columns
from dynsweep.store.arrays import Trajectory as Trajectory
from dynsweep.store.arrays import inside as inside
from dynsweep.store.arrays import load_snapshots as load_snapshots
from dynsweep.store.arrays import load_trajectories as load_trajectories
from dynsweep.store.arrays import load_trajectory as load_trajectory
from dynsweep.store.arrays import load_weights as load_weights
from dynsweep.store.arrays import write_snapshots as write_snapshots
from dynsweep.store.arrays import write_trajectory as write_trajectory
from dynsweep.store.arrays import write_weights as write_weights
from dynsweep.store.damage import Damaged as Damaged
from dynsweep.store.files import SweepPaths as SweepPaths
from dynsweep.store.reading import latest as latest
from dynsweep.store.reading import read as read
from dynsweep.store.reading import supersedes as supersedes
from dynsweep.store.records import COMPLETED as COMPLETED
from dynsweep.store.records import DIVERGED as DIVERGED
from dynsweep.store.records import FAILED as FAILED
from dynsweep.store.records import FINISHED as FINISHED
from dynsweep.store.records import METRICS as METRICS
from dynsweep.store.records import STATUSES as STATUSES
from dynsweep.store.records import Record as Record
from dynsweep.store.records import Store as Store
