"""Files that are replaced as a whole."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """A place to write a file anew: at the end it takes the name ``path``; after an error the
    file that was there before stays. Readers never see half.

    Args:
        path: in a folder that exists.
        durable: whether it is on disk when the block ends, not only in the system's memory.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(3)}.partial")
    try:
        yield partial
        if durable:
            sync(partial)
        os.replace(partial, path)
        if durable:
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
