"""What an adaptive sweep trains next, decided by what its directory holds and by nothing else.

Before a round is launched, its seeds are written into ``rounds.jsonl``. A sweep that was killed
in the middle of a round finishes that one first, and then knows what it would have known.
"""

from dataclasses import dataclass
from pathlib import Path

from dynsweep.config import replaced
from dynsweep.config.launchers import AdaptiveSweeperConf
from dynsweep.config.run import digest
from dynsweep.launchers.cells import Cells, Seeds
from dynsweep.launchers.lattice import Lattice, Point
from dynsweep.store import FAILED, SweepPaths
from dynsweep.store.files import storing
from dynsweep.store.sealed import intact, seal


@dataclass
class Round:
    """Seeds to train, and how the sweep stands.

    Attributes:
        number: counted from 1.
        seeds: of each cell; none where nothing is left to do.
        cells: how many there are.
        above: cells whose error is larger than wanted and that may get more seeds.
        spent: those that may not, as they have ``max_seeds``.
        largest: error of any cell with a value.
        runs: recorded so far.
    """

    number: int
    seeds: Seeds
    cells: int
    above: int
    spent: int
    largest: float
    runs: int


class Rounds:
    """The rounds of one command.

    Args:
        lattice: the cells.
        conf: the sweeper's settings.
        directory: of the sweep.
        objective: the metric whose error is wanted.
        first_seed: others follow it.
        size: runs that train together; ``None`` where that is not known.
    """

    def __init__(
        self, lattice: Lattice, conf: AdaptiveSweeperConf, directory: Path, objective: str,
        first_seed: int, size: int | None,
    ) -> None:  # fmt: skip
        self.lattice, self.conf, self.objective = lattice, conf, objective
        self.first_seed, self.size = first_seed, size
        self.directory, self.file = directory, SweepPaths(directory).rounds
        self._keys: dict[Point, str] = {}
        own = (conf.error, conf.min_seeds, conf.max_seeds, conf.runs, conf.refine, conf.contrast)
        cells = [self.key(point) for point in lattice.grid]
        self.command = digest({"sweeper": own, "objective": objective, "cells": cells})

    def key(self, point: Point) -> str:
        """What the runs of a cell have in common: the identity that they would have at seed 0."""
        if point not in self._keys:
            run = self.lattice.run(point)
            assert run is not None
            self._keys[point] = replaced(run.settings, {"seed": 0}).identity()
        return self._keys[point]

    def next(self, retry: bool = False) -> Round:
        """The round that is not finished, or the one after it; with ``retry`` also what failed."""
        number, asked = self._last()
        cells = Cells(self, asked)
        seeds: Seeds = {}
        for point in cells.points:
            if left := cells.missing(point, asked.get(self.key(point), [])):
                seeds[point] = left
        if not seeds:
            number, seeds = number + 1, cells.decide()
        for point in cells.points if retry else ():
            if failed := [s for s, r in cells.of(point).items() if r["status"] == FAILED]:
                seeds[point] = sorted({*seeds.get(point, []), *failed})
        return Round(
            number, seeds, len(cells.points), int(cells.wants.sum()),
            int((cells.above & ~cells.wants).sum()), cells.largest, int(cells.tried.sum()),
        )  # fmt: skip

    def note(self, chosen: Round) -> None:
        """Write a round down, before its first run."""
        wishes = {
            "objective": self.objective,
            "error": self.conf.error,
            "refine": self.conf.refine,
        }
        asked = {self.key(point): seeds for point, seeds in chosen.seeds.items()}
        round_ = {"command": self.command, "round": chosen.number, **wishes, "asked": asked}
        line = seal(round_)
        with storing(self.file), self.file.open("a") as file:
            file.write(line + "\n")

    def _last(self) -> tuple[int, dict[str, list[int]]]:
        """The number of the last round of this command, and what it asked for, by cell."""
        found: tuple[int, dict[str, list[int]]] = (0, {})
        if self.file.is_file():
            for line in self.file.read_bytes().splitlines():
                for value in intact(line):
                    if value.get("command") == self.command:
                        found = (value["round"], value["asked"])
        return found
