"""What a sweep directory says of the runs of a grid, and which of them are to be trained."""

import logging
import math
from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dynsweep.config import Run, replaced
from dynsweep.config.run import settings_of
from dynsweep.errors import RunFailed
from dynsweep.store import FAILED, FINISHED, SweepPaths
from dynsweep.store.reading import count, read_file

log = logging.getLogger(__name__)


class Outcomes:
    """The records that count of the runs of a grid.

    Args:
        runs: the grid; equal settings are one run, whatever their numbers.
        directory: of the sweep.
        label: of a writer, whose siblings' records are not looked at: they have other runs.
    """

    def __init__(self, runs: Sequence[Run], directory: str | Path, label: str = "") -> None:
        self.runs, self.directory, self.label = runs, directory, label
        self.identities = [run.settings.identity() for run in runs]
        self._records: dict[str, dict[str, Any]] = {}
        self._tried: set[str] = set()
        self._sizes: dict[Path, int] = {}
        self.refresh()

    def refresh(self, own: str = "") -> None:
        """Read what was written since, but for the file of the writer ``own``."""
        first = not self._sizes
        for path in SweepPaths(self.directory).records(self.label):
            with suppress(OSError):
                size = path.stat().st_size if path.exists() else -1
                if path.stem == own or self._sizes.get(path) == size:
                    continue
                self._sizes[path] = size
                # An end that was cut is damage, or a process that writes just now.
                count(read_file(path, torn=first), self._records)

    @property
    def recorded(self) -> Container[str]:
        """Identities of all runs that the directory has a record of, of this grid or another."""
        return self._records

    def add(self, position: int, record: dict[str, Any]) -> None:
        """Note what became of a run that was trained here; it is not tried again."""
        self._records[self.identities[position]] = record
        self._tried.add(self.identities[position])

    def missing(self, positions: Sequence[int] | None = None) -> list[int]:
        """Positions of the runs to be trained, out of some or all; of equal runs the first."""
        chosen: dict[str, int] = {}
        for position in range(len(self.runs)) if positions is None else positions:
            identity = self.identities[position]
            record = self._records.get(identity)
            again = record is not None and record["status"] not in FINISHED
            again = again and identity not in self._tried
            if record is None or (again and self.runs[position].settings.retry_failed):
                chosen.setdefault(identity, position)
        return list(chosen.values())

    def tell(self, todo: Sequence[int]) -> None:
        """Say how many jobs are the same run, and how many are recorded; ``todo`` are missing."""
        jobs, distinct = len(self.runs), len(set(self.identities))
        if distinct < jobs:
            text = "%d of %d jobs are the same run as another: they differ in nothing, or only in "
            log.info(text + "where a run is computed", jobs - distinct, jobs)
        if held := distinct - len(todo):
            log.info("%d of %d runs are in %s already", held, distinct, self.directory)

    def results(self) -> list[Any]:
        """For each run its ``objective`` (see :class:`RunConfig`; a loss that is not finite
        is infinite, so that an optimising sweeper keeps away), a
        :class:`RunFailed`, or ``None`` if nothing is known of it."""
        results: list[Any] = []
        for identity, run in zip(self.identities, self.runs, strict=True):
            record = self._records.get(identity)
            if record is None:
                results.append(None)
            elif record["status"] == FAILED:
                results.append(RunFailed(record["error"]))
            else:
                value = record[run.settings.objective]
                finite = value is not None and math.isfinite(value)
                results.append(value if finite else math.inf)
        return results


def twins(runs: Sequence[Run], positions: Sequence[int]) -> dict[int, list[int]]:
    """Positions by that of their leader, itself the first: the one to train, for all of them.

    Twins differ in nothing that has an effect. The static loss is the same whatever its period: a
    grid trains it once for each seed.
    """
    leaders: dict[str, int] = {}
    groups: dict[int, list[int]] = {}
    for position in positions:
        settings = runs[position].settings
        if settings.loss.amplitude == 1:
            declarations = settings_of(settings.dataset.name, settings.model.name)
            neutral = {name: one.default for name, one in declarations.items() if one.dynamical}
            settings = replaced(settings, neutral)
        groups.setdefault(leaders.setdefault(settings.identity(), position), []).append(position)
    return groups
