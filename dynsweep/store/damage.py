"""Damage in a sweep directory: what cannot be read is left out, and named once."""

import logging
from pathlib import Path

from dynsweep.errors import DynsweepError

log = logging.getLogger(__name__)

_named: set[str] = set()


class Damaged(DynsweepError):
    """A file of a sweep that is missing, or not as dynsweep wrote it; the text names it, and says
    what is wrong in one line."""

    def __init__(self, path: Path, what: object) -> None:
        if isinstance(what, FileNotFoundError):
            what = "is missing"
        elif isinstance(what, OSError) and what.strerror:
            what = f"cannot be read ({what.strerror})"
        elif isinstance(what, BaseException):
            what = "is damaged"
        super().__init__(f"{path}: {what}")


def left_out(what: object, cost: str) -> None:
    """Warn that something is left out, and of what this costs; in one process only once."""
    text = f"{what}; left out: {cost}"
    if text not in _named:
        _named.add(text)
        log.warning("%s", text)
