"""What a sweep directory says of the runs of a grid, and which of them are to be trained."""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dynsweep.config import Run, replaced
from dynsweep.config.run import settings_of
from dynsweep.errors import ConfigError, RunFailed
from dynsweep.store import FAILED, FINISHED, SweepPaths
from dynsweep.store.reading import count, read_file
from dynsweep.sweep.observations import Asked, Files, asked, lacking, merged, words
from dynsweep.sweep.progress import told

log = logging.getLogger(__name__)


class Outcomes:
    """The records that count of the runs of a grid.

    Args:
        runs: the grid; equal settings are one run, whatever their numbers.
        directory: of the sweep.
        label: of a writer, whose siblings' records are not looked at: they have other runs.
        unfit: why runs cannot be trained, by their position.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        directory: str | Path,
        label: str = "",
        unfit: Mapping[int, ConfigError] | None = None,
    ) -> None:
        self.directory, self.label, self.unfit = directory, label, unfit or {}
        named = told(runs, len(runs), "Looking up")
        self.identities = [run.settings.identity() for run in named]
        self._records: dict[str, dict[str, Any]] = {}
        self._tried: set[str] = set()
        self._sizes: dict[Path, int] = {}
        self._files = Files(directory)
        self.refresh()
        self._wanted: dict[str, Asked] = defaultdict(dict)
        for run, identity in zip(runs, self.identities, strict=True):
            if wanted := asked(run):
                self._wanted[identity] |= wanted
        self.runs = [*map(self._to_train, runs, self.identities)] if self._wanted else runs

    def _to_train(self, run: Run, identity: str) -> Run:
        """The run with all that is to be recorded along it."""
        record = self._records.get(identity, {})
        if identity not in self._wanted or (record and not self._lacking(identity, record)):
            return run
        return merged(run, record, self._wanted[identity])

    def _lacking(self, identity: str, record: Mapping[str, Any]) -> list[str]:
        wanted = self._wanted.get(identity)
        return lacking(record, wanted, self._files) if wanted else []

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
            if position in self.unfit:
                continue
            identity = self.identities[position]
            record = self._records.get(identity)
            if record is None or (identity not in self._tried and self._again(position, record)):
                chosen.setdefault(identity, position)
        return list(chosen.values())

    def _again(self, position: int, record: Mapping[str, Any]) -> bool:
        """Whether a run that is recorded is to be trained again."""
        if record["status"] not in FINISHED:
            return self.runs[position].settings.retry_failed
        return bool(self._lacking(self.identities[position], record))

    def record(self, position: int) -> Mapping[str, Any] | None:
        """The record that counts of a run, if there is any."""
        return self._records.get(self.identities[position])

    def refused(self) -> dict[int, str]:
        """Why runs cannot be trained, by position, where no record says so; of equal runs once."""
        left: dict[str, tuple[int, str]] = {}
        for position, error in self.unfit.items():
            record = self._records.get(self.identities[position], {})
            # How much memory is free changes from one command to the next.
            said = str(record.get("error")).startswith(f"{error.setting}={error.value}: ")
            if record.get("status") not in FINISHED and not said:
                left.setdefault(self.identities[position], (position, str(error)))
        return dict(left.values())

    def tell(self, todo: Sequence[int]) -> None:
        """Say how many jobs are the same run, and how many are recorded; ``todo`` are missing."""
        identities = [one for place, one in enumerate(self.identities) if place not in self.unfit]
        jobs, distinct = len(identities), len(set(identities))
        if distinct < jobs:
            text = "%d of %d jobs are the same run as another: they differ in nothing, or only in "
            log.info(text + "how a run is computed", jobs - distinct, jobs)
        if held := distinct - len(todo):
            log.info("%d of %d runs are in %s already", held, distinct, self.directory)
        again: Counter[str] = Counter()
        for position in todo:
            record = self._records.get(self.identities[position])
            if record is not None and record["status"] in FINISHED:
                again[words(self._lacking(self.identities[position], record))] += 1
        for what, runs in again.items():
            log.info("%d runs are trained again, as their records lack %s", runs, what)

    def results(self) -> list[Any]:
        """For each run its ``objective`` (see :class:`RunConfig`; a loss that is not finite
        is infinite, so that an optimising sweeper keeps away), a
        :class:`RunFailed`, or ``None`` if nothing is known of it."""
        results: list[Any] = []
        for position, (identity, run) in enumerate(zip(self.identities, self.runs, strict=True)):
            record = self._records.get(identity)
            if record is None:
                error = self.unfit.get(position)
                results.append(RunFailed(str(error)) if error else None)
            elif record["status"] == FAILED:
                results.append(RunFailed(record["error"]))
            else:
                value = record[run.settings.objective]
                finite = value is not None and math.isfinite(value)
                results.append(value if finite else math.inf)
        return results


class Twins(dict[int, list[int]]):
    """Positions by that of their leader, itself the first: the one to train, for all of them.
    Of a million runs most have no twin: such a leader is not held, and found all the same."""

    def __missing__(self, leader: int) -> list[int]:
        return [leader]


def twins(runs: Sequence[Run], positions: Sequence[int]) -> tuple[list[int], Twins]:
    """The leaders among ``positions`` of distinct runs, and the twins of those that have some.

    Twins differ in nothing that has an effect. The static loss is the same whatever its period: a
    grid trains it once for each seed.
    """
    static: dict[Any, list[int]] = {}
    leaders: list[int] = []
    for position in told(positions, len(positions), "Grouping"):
        settings = runs[position].settings
        if settings.loss.amplitude == 1:
            declarations = settings_of(settings.dataset.name, settings.model.name)
            neutral = {name: one.default for name, one in declarations.items() if one.dynamical}
            same = (replaced(settings, neutral).identity(), settings.observe)
            group = static.setdefault(same, [])
            group.append(position)
            if len(group) > 1:
                continue
        leaders.append(position)
    return leaders, Twins((group[0], group) for group in static.values() if len(group) > 1)
