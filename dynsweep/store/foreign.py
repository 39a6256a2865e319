"""Files of other people with the names of ours: they are refused, and never replaced.

What dynsweep writes into a sweep directory says so itself: a figure or page in its metadata,
a table by its columns. Earlier versions' figures say that they are Matplotlib's or Pillow's, which
is enough in a directory with records or tables.
"""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dynsweep.config.run import SETTINGS
from dynsweep.errors import StorageError
from dynsweep.store.files import SweepPaths, replacing
from dynsweep.store.records import METRICS
from dynsweep.store.sealed import CHECKED

MARK = "dynsweep"
# Columns of the tables, in every version.
TABLES = {
    "results.csv": {"dataset", "model", "seed", "status", "seconds", "id"},
    "cells.csv": {"dataset", "model", "seeds", "completed", "diverged", "failed"},
    "variance.csv": {"metric", "effect", "share", "sobol_index"},
    "threshold.csv": {"lr", "width", "largest_sharpness", "id"},
    "valleys.csv": {"step", "run_width", "valley_floor", "valley_width", "id"},
    "valley_correlations.csv": {"run_width", "of", "within", "between", "all"},
}
# Of a table with another name some columns are ours.
KNOWN, FEW = {setting.column for setting in SETTINGS.values()} | set(METRICS), 3
# What stands in a file of ours, by its suffix, and in one of an earlier version.
MARKS = {
    ".png": (rb"Software\0dynsweep", rb"Software\0Matplotlib"),
    ".pdf": (rb"/Creator \(dynsweep\)", rb"/Creator \(Matplotlib"),
    ".svg": (rb"<dc:title>dynsweep</dc:title>", rb"<dc:title>Matplotlib"),
    ".gif": (rb"\AGIF8.*Made with dynsweep", rb"\AGIF8"),
    ".html": (
        rb'<meta name="generator" content="dynsweep">',
        rb"page written by.{0,40}dynsweep",
    ),
    ".yaml": (rb"\A%b|app_name: dynsweep" % CHECKED.encode(), rb""),
}


class ForeignFile(StorageError):
    """A file that would be replaced, and that dynsweep did not write."""

    def __init__(self, path: Path) -> None:
        text = "dynsweep did not write this file, and would replace it; move it, or take another "
        super().__init__(path, FileExistsError(errno.EEXIST, text + "directory"))


@contextmanager
def replacing_own(path: Path) -> Iterator[Path]:
    """As :func:`dynsweep.store.files.replacing`; raises :class:`ForeignFile` before anything."""
    refuse_foreign([path])
    with replacing(path) as partial:
        yield partial


def refuse_foreign(paths: Iterable[Path]) -> None:
    """Raise :class:`ForeignFile` for the first that is there and is not dynsweep's."""
    for path in paths:
        if (path.exists() or path.is_symlink()) and not _own(path):
            raise ForeignFile(path)


def _own(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if not content.strip(b"\0"):  # a power failure left nothing in it
        return True
    if path.suffix == ".csv":
        return _table(path, content)
    mark, earlier = MARKS.get(path.suffix, (rb"\Z.", rb"\Z."))
    if re.search(mark, content, re.DOTALL):
        return True
    return bool(re.search(earlier, content, re.DOTALL)) and _sweep(path.parent)


def _table(path: Path, content: bytes) -> bool:
    columns = content.partition(b"\n")[0].decode(errors="replace").strip().split(",")
    if path.name in TABLES:
        return TABLES[path.name] <= set(columns)
    return len(KNOWN.intersection(columns)) >= FEW


def _sweep(directory: Path) -> bool:
    """Whether there are records, or a table of ours."""
    tables = [directory / name for name in TABLES]
    return bool(SweepPaths(directory).records()) or any(
        table.is_file() and _table(table, table.read_bytes()) for table in tables
    )
