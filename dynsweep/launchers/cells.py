"""The cells of an adaptive sweep: what their records say, and where more seeds or cells belong."""

import heapq
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dynsweep.analysis import precision
from dynsweep.config.run import identity
from dynsweep.launchers.lattice import Point, Square
from dynsweep.store import FAILED, latest

if TYPE_CHECKING:
    from dynsweep.launchers.rounds import Rounds

GROWTH = 2  # a round gives a cell at most so many times the seeds that it has, if others want some

Seeds = dict[Point, list[int]]


class Cells:
    """What is known of the cells that there are."""

    def __init__(self, rounds: "Rounds", asked: dict[str, list[int]]) -> None:
        self.rounds, self.conf, self.lattice = rounds, rounds.conf, rounds.lattice
        self.records: dict[str, dict[int, dict[str, Any]]] = {}
        for record in latest(rounds.directory).values():
            key = identity({**record["config"], "seed": 0})
            self.records.setdefault(key, {})[record["config"]["seed"]] = record
        self.points, self.leaves = list(self.lattice.grid), list[Square]()
        squares = list(self.lattice.squares())
        for square in squares:  # the list grows
            middles = self.lattice.middles(square)
            # Its sides may have been halved for the squares beside it, but for it the centre too.
            new = [key for p in middles if (key := rounds.key(p)) not in self.records]
            if middles and asked.keys() >= set(new):
                self.points += middles
                squares += square.parts()
            elif middles:
                self.leaves.append(square)
        self.points = list(dict.fromkeys(self.points))
        self.index = {point: index for index, point in enumerate(self.points)}
        self._measure()

    def of(self, point: Point) -> dict[int, dict[str, Any]]:
        """A cell's records by seed."""
        return self.records.get(self.rounds.key(point), {})

    def missing(self, point: Point, seeds: list[int]) -> list[int]:
        """Those of the seeds that have no record."""
        return [seed for seed in seeds if seed not in self.of(point)]

    def _measure(self) -> None:
        """Means and errors of the cells, and which of them want more seeds."""
        values = []
        for point in self.points:
            records = self.of(point).values()
            found = [r[self.rounds.objective] for r in records if r["status"] != FAILED]
            values.append([v for v in found if v is not None and math.isfinite(v)])
        self.tried = np.array([len(self.of(point)) for point in self.points])
        self.counts = np.array([len(one) for one in values], float)
        self.means = np.array([np.mean(one) if one else math.nan for one in values])
        squares = np.array([np.mean(np.square(one)) if one else math.nan for one in values])
        places = self.lattice.places(self.points)
        at = np.array([place for place, _ in places])
        cell = np.array([index for _, index in places])
        pairs = precision.neighbours(at[:, 0], at[:, 1], at[:, 2], cell)
        self.errors = precision.errors(self.counts, self.means, squares, pairs)
        wanted = math.inf if self.conf.error is None else self.conf.error
        self.above = (self.counts > 0) & (self.errors > wanted)
        # Of a cell that never ends with a value, more seeds will tell nothing.
        self.wants = self.above & (self.tried < self.conf.max_seeds)
        measured = self.errors[self.counts > 0]
        self.largest = float(measured.max()) if len(measured) else math.inf

    def decide(self) -> Seeds:
        """The seeds of the next round."""
        left = math.inf
        if self.conf.runs is not None:
            left = self.conf.runs - int(self.tried.sum())
        wanted = {
            point: max(0, self._least(index) - int(self.tried[index]))
            for index, point in enumerate(self.points)
        }
        if (self.tried >= self.conf.min_seeds).all():
            wanted |= dict.fromkeys(self._finer(), self.conf.min_seeds)
        room = self.rounds.size or math.inf
        if first := sum(wanted.values()):
            room = room * math.ceil(first / room) - first if room < math.inf else math.inf
        room = min(room, left - first)
        for growth in (GROWTH, math.inf) if self.rounds.size else (GROWTH,):
            for point in self._greedy(growth, wanted, room):
                wanted[point] = wanted.get(point, 0) + 1
                room -= 1
        seeds: Seeds = {}
        for point, count in wanted.items():
            if (count := int(min(count, left))) > 0:
                seeds[point] = self._new_seeds(point, count)
                left -= count
        return seeds

    def _least(self, index: int) -> int:
        """The seeds that a cell is to have in any case: the static loss, which is compared with
        every cell seed by seed, as many as any."""
        point = self.points[index]
        if not self.lattice.static(point):
            return self.conf.min_seeds
        others = [p.context == point.context for p in self.points]
        return max(self.conf.min_seeds, int(self.tried[others].max()))

    def _finer(self) -> Iterator[Point]:
        """New cells, where neighbours differ by more than the contrast beyond their errors."""
        for square in self.leaves:
            corners = [self.index.get(p) for p in self.lattice.cells(square.corners())]
            known = [corner for corner in corners if corner is not None]
            if len(known) == len(corners) and any(
                abs(self.means[one] - self.means[other])
                - math.hypot(self.errors[one], self.errors[other])
                > self.conf.contrast
                for one, other in zip(known, [*known[1:], known[0]], strict=True)
            ):
                yield from self.lattice.middles(square)

    def _greedy(self, growth: float, wanted: dict[Point, int], room: float) -> Iterator[Point]:
        """Cells that get one seed more, as often as they do: first where the same work lowers the
        error most. The error falls with the root of the seeds."""
        from dynsweep.engines.work import operations

        def entry(index: int, more: int) -> tuple[float, int, int]:
            have = self.counts[index] + more
            now = self._expected(index, more)
            return -now * (1 - math.sqrt(have / (have + 1))) / costs[index], index, more

        # Counted, not measured: the same command decides the same, however busy the machine was.
        costs: dict[int, float] = {}
        for index in np.flatnonzero(self.wants).tolist():
            run = self.lattice.run(self.points[index])
            assert run is not None
            costs[index] = operations(run.settings)
        heap = [entry(index, wanted.get(self.points[index], 0)) for index in costs]
        heapq.heapify(heap)
        while heap and room > 0:
            _, index, more = heapq.heappop(heap)
            tried = self.tried[index] + more
            if self._expected(index, more) <= (self.conf.error or 0) or tried >= min(
                self.conf.max_seeds, growth * self.tried[index]
            ):
                continue
            yield self.points[index]
            room -= 1
            heapq.heappush(heap, entry(index, more + 1))

    def _expected(self, index: int, more: int) -> float:
        """A cell's error with so many seeds more."""
        have = self.counts[index]
        return float(self.errors[index] * math.sqrt(have / (have + more)))

    def _new_seeds(self, point: Point, count: int) -> list[int]:
        """The first ones that are not recorded."""
        held, seeds = self.of(point), list[int]()
        seed = self.rounds.first_seed
        while len(seeds) < count:
            if seed not in held:
                seeds.append(seed)
            seed += 1
        return seeds
