"""What the rounds of an adaptive sweep were after, as its directory says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynsweep.store import SweepPaths
from dynsweep.store.sealed import intact


@dataclass(frozen=True)
class Adaptive:
    """The wishes of the last command; where several differ in it, the finest ``refine``.

    Attributes:
        objective: the metric whose error is looked at.
        error: that was wanted, if any.
        refine: how often cells may be halved.
    """

    objective: str
    error: float | None
    refine: int


def adaptive(directories: Sequence[str | Path]) -> Adaptive | None:
    """Of some sweep directories; ``None`` where all are plain grids."""
    found: Adaptive | None = None
    for directory in directories:
        path = SweepPaths(directory).rounds
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            for value in intact(line):
                refine = max(value["refine"], found.refine if found else 0)
                found = Adaptive(value["objective"], value["error"], refine)
    return found
