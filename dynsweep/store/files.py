"""Files that are replaced as a whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place to write a file anew: at the end it takes the name ``path``; after an error the
    file that was there before stays. Readers never see half."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(3)}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
