"""What killed processes left behind: files half written, and files that no record mentions."""

import logging
import re
import time
from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path

from dynsweep.store import Damaged, SweepPaths
from dynsweep.store.arrays import load_arrays
from dynsweep.store.owners import at_work

log = logging.getLogger(__name__)

# A file of another machine, of which its process cannot be asked, is left over when so old.
SILENT_SECONDS = 3600.0
# As the store names files: ``.name.owner-random.partial``, ``label.time-owner-random-number.npz``.
OWNER = r"([^.]+\.[0-9a-f]{6}-\d+)"
MENTION = re.compile(rb'"(?:weights|snapshots|trajectory)":"([^"]+)"')
PARTIAL = re.compile(rf"\.{OWNER}-[0-9a-f]+\.partial$")
ATTACHED = re.compile(rf"\d{{8}}T\d+-{OWNER}-[0-9a-f]+-\d+\.(npz|csv\.gz)$")
# Of versions before, whose names were without the machine's number: other files are not ours.
EARLIER = re.compile(r"\.[0-9a-f]{6}\.partial$|\d{8}T\d+-.+-[0-9a-f]{6}-\d+\.(npz|csv\.gz)$")


def remove_leftovers(directory: str | Path) -> None:
    """Remove what no process at work will finish; what cannot be removed stays."""
    paths = SweepPaths(directory)
    removed = 0
    for path in [*_partial(paths), *_unmentioned(paths)]:
        with suppress(OSError):
            path.unlink()
            removed += 1
    if removed:
        log.info("Removed %d files that killed processes left half done", removed)


def remove_checkpoints(directory: str | Path, recorded: Container[str]) -> None:
    """Remove those of batches whose runs were all ``recorded`` in others: by identity."""
    folder = SweepPaths(directory).checkpoints
    for path in folder.glob("*.npz"):
        with suppress(OSError, Damaged):
            if all(run in recorded for run in load_arrays(path, "runs")["runs"].tolist()):
                path.unlink()
    with suppress(OSError):  # there is none, or it has others
        folder.rmdir()


def _partial(paths: SweepPaths) -> Iterator[Path]:
    """Of :func:`dynsweep.store.files.replacing`."""
    folders = [paths.directory, paths.weights, paths.trajectories, paths.snapshots]
    for folder in [*folders, paths.checkpoints, paths.claims, *paths.tasks.glob("*")]:
        for path in folder.glob(".*.partial"):
            if not _at_work(PARTIAL.search(path.name), path):
                yield path


def _unmentioned(paths: SweepPaths) -> list[Path]:
    """Weights and trajectories whose process ended before it wrote their records."""
    places = [paths.weights.glob("*.npz"), paths.snapshots.glob("*.npz")]
    files = [path for place in [*places, paths.trajectories.glob("*.csv.gz")] for path in place]
    files = [path for path in files if not _at_work(ATTACHED.search(path.name), path)]
    mentioned: set[bytes] = set()
    try:
        for records in paths.records() if files else ():
            mentioned.update(MENTION.findall(records.read_bytes()))
    except OSError:
        return []  # records that cannot be read may mention them
    return [path for path in files if path.name.encode() not in mentioned]


def _at_work(name: re.Match[str] | None, path: Path) -> bool:
    if not name and not EARLIER.search(path.name):
        return True
    with suppress(OSError):
        silent = time.time() - path.stat().st_ctime
        return at_work(name[1] if name else "", silent, SILENT_SECONDS)
    return True
