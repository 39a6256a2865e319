"""What killed processes left behind: files half written, and files that no record mentions."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dynsweep.store import SweepPaths
from dynsweep.store.owners import at_work

log = logging.getLogger(__name__)

# A file of another machine, of which its process cannot be asked, is left over when so old.
SILENT_SECONDS = 3600.0


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


def _partial(paths: SweepPaths) -> Iterator[Path]:
    """Of :func:`dynsweep.store.files.replacing`: ``.name.owner-random.partial``."""
    folders = [paths.directory, paths.weights, paths.trajectories, paths.snapshots]
    for folder in [*folders, paths.checkpoints, *paths.tasks.glob("*")]:
        for path in folder.glob(".*.partial"):
            owner = path.name.removesuffix(".partial").rpartition("-")[0]
            # Names of files, and of machines, have dots.
            if not any(_at_work(part, path) for part in _tails(owner)):
                yield path


def _unmentioned(paths: SweepPaths) -> list[Path]:
    """Weights and trajectories whose process ended before it wrote their records."""
    places = [paths.weights.glob("*.npz"), paths.snapshots.glob("*.npz")]
    files = [path for place in [*places, paths.trajectories.glob("*.csv.gz")] for path in place]
    # ``label.time-owner-random-number.suffix``, as the store names them.
    writers = {path: path.name.partition(".npz")[0].partition(".csv.gz")[0] for path in files}
    doubtful = [path for path in files if not _has(paths.runs, writers[path], path.name)]
    doubtful = [path for path in doubtful if not _at_work(_owner(writers[path]), path)]
    if doubtful:
        try:
            texts = [file.read_bytes() for file in paths.records()]
        except OSError:
            return []  # records that cannot be read may mention them
        doubtful = [
            path for path in doubtful if not any(path.name.encode() in text for text in texts)
        ]
    return doubtful


def _has(runs: Path, name: str, file: str) -> bool:
    """Whether the records of the file's own writer mention it: true of almost all."""
    with suppress(OSError):
        return file.encode() in (runs / f"{name.rpartition('-')[0]}.jsonl").read_bytes()
    return False


def _owner(name: str) -> str:
    """Out of ``time-owner-random-number``."""
    return name.rpartition("-")[0].rpartition("-")[0].partition("-")[2]


def _tails(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.partition(".")[2]


def _at_work(owner: str, path: Path) -> bool:
    with suppress(OSError):
        return at_work(owner, time.time() - path.stat().st_ctime, SILENT_SECONDS)
    return True
