"""The cells of a grid that may become finer: squares of two axes, halved where asked for.

Each value of an axis has a whole number as its place. Between neighbours of the grid lie
``2**refine - 1`` further places, whose values are halfway in the axis's own scale: geometric means
where the grid is log-spaced; whole steps where the setting is whole. Where there is no whole
number in between, there is no place. A square of the grid has four cells as its corners; halved,
it gets the middles of its sides and its centre as further cells, and is four squares.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dynsweep.analysis.grid import log_spaced
from dynsweep.config import SETTINGS, Run, flatten, replaced

PREFERRED = ("loss.period", "loss.amplitude")
DIGITS = 4  # significant ones of a value in between


class Point(NamedTuple):
    """A place in the plane of the two axes, for one choice of all other settings."""

    context: int
    x: int
    y: int


class Square(NamedTuple):
    """Four places, from its lowest one; a side may be 0 where there is one axis, or none."""

    context: int
    x: int
    y: int
    width: int
    height: int

    def corners(self) -> list[Point]:
        """From the lowest one around: neighbours in the list share a side."""
        right, top = self.x + self.width, self.y + self.height
        places = [(self.x, self.y), (right, self.y), (right, top), (self.x, top)]
        return [Point(self.context, *place) for place in dict.fromkeys(places)]

    def parts(self) -> list["Square"]:
        """The squares that it is halved into; none if it cannot be."""
        if self.width % 2 or self.height % 2 or not (self.width or self.height):
            return []
        width, height = self.width // 2, self.height // 2
        return [
            Square(self.context, x, y, width, height)
            for x in sorted({self.x, self.x + width})
            for y in sorted({self.y, self.y + height})
        ]


@dataclass
class Axis:
    """A setting with the value at each place, ``None`` where there is none."""

    name: str
    values: list[Any]


def halved(values: Sequence[Any], times: int, whole: bool) -> list[Any]:
    """Ascending ``values``, and so many ``times`` between all neighbours one halfway.

    >>> halved([10, 20, 40], 1, whole=True)
    [10, 14, 20, 28, 40]
    """
    log = len(values) > 1 and log_spaced(np.array(values, float))
    found = list(values)
    for _ in range(times):
        finer = found[:1]
        for low, high in itertools.pairwise(found):
            finer += [_middle(low, high, log, whole), high]
        found = finer
    return found


def _middle(low: Any, high: Any, log: bool, whole: bool) -> Any:
    if low is None or high is None:
        return None
    middle = math.sqrt(low * high) if log else (low + high) / 2
    middle = round(middle) if whole else float(f"{middle:.{DIGITS}g}")
    return middle if low < middle < high else None


class Lattice:
    """Where the jobs of a grid stand, and the cells that there may be between them.

    Attributes:
        axes: none, one or two.
        spacing: places from one value of the grid to the next.
        contexts: for each choice of the other settings, the overrides of its jobs, of which those
            of the axes are replaced.
    """

    def __init__(
        self, jobs: Sequence[Sequence[str]], runs: Sequence[Run], refine: int,
        compose: Callable[[list[str]], Run],
    ) -> None:  # fmt: skip
        self.compose, self.spacing = compose, 2**refine
        names = _axes(jobs, runs)
        self.axes = []
        for name in names:
            values = sorted({flatten(run.settings)[name] for run in runs})
            whole = SETTINGS[name].whole
            self.axes.append(Axis(name, halved(values, refine, whole)))
        self.contexts: list[list[str]] = []
        self._runs: dict[Point, Run | None] = {}
        self._contexts: dict[tuple[str, ...], int] = {}
        self.grid = list(dict.fromkeys(map(self._place, jobs, runs)))

    def _place(self, job: Sequence[str], run: Run) -> Point:
        names = [axis.name for axis in self.axes]
        rest = tuple(word for word in job if word.partition("=")[0] not in names)
        if rest not in self._contexts:
            self._contexts[rest] = len(self.contexts)
            self.contexts.append(list(job))
        flat = flatten(run.settings)
        at = [axis.values.index(flat[axis.name]) for axis in self.axes]
        point = self.canonical(Point(self._contexts[rest], *[*at, 0, 0][:2]))
        self._runs.setdefault(point, run)
        return point

    def canonical(self, point: Point) -> Point:
        """The place of the cell that stands here: of all places of the static loss the first."""
        static = dict(self._static())
        for axis, place in static.items():
            if point[1 + axis] == place:
                return point._replace(**{"yx"[axis]: 0})
        return point

    def static(self, point: Point) -> bool:
        """Whether the static loss stands there, for all places in its row or column."""
        return any(point[1 + axis] == place for axis, place in self._static())

    def _static(self) -> Iterator[tuple[int, int]]:
        """The axis of the amplitude and the place of 1 there, if the other one means nothing at
        it."""
        names = [axis.name for axis in self.axes]
        if len(names) == 2 and "loss.amplitude" in names:
            index = names.index("loss.amplitude")
            if SETTINGS[names[1 - index]].dynamical and 1 in self.axes[index].values:
                yield index, self.axes[index].values.index(1)

    def run(self, point: Point) -> Run | None:
        """The run of a cell, with the seed of its job; ``None`` where there is no such place."""
        if point not in self._runs:
            values = [axis.values[at] for axis, at in zip(self.axes, point[1:], strict=False)]
            self._runs[point] = None
            if None not in values:
                words = {a.name: f"{a.name}={v}" for a, v in zip(self.axes, values, strict=True)}
                job = self.contexts[point.context]
                self._runs[point] = self.compose([
                    words.get(word.partition("=")[0], word) for word in job
                ])  # fmt: skip
        return self._runs[point]

    def squares(self) -> Iterator[Square]:
        """Those of the grid, before any is halved."""
        sides = [range(0, len(a.values) - 1, self.spacing) for a in self.axes] + [range(1)] * 2
        steps = [self.spacing] * len(self.axes) + [0, 0]
        for context in range(len(self.contexts)):
            for x in sides[0]:
                for y in sides[1]:
                    yield Square(context, x, y, steps[0], steps[1])

    def cells(self, points: Sequence[Point]) -> list[Point]:
        """The cells that stand at these places; those that there are, each once."""
        found = dict.fromkeys(map(self.canonical, points))
        return [point for point in found if self.run(point) is not None]

    def middles(self, square: Square) -> list[Point]:
        """The cells that a square gets when it is halved."""
        corners = set(self.cells(square.corners()))
        places = [place for part in square.parts() for place in part.corners()]
        return [point for point in self.cells(places) if point not in corners]

    def places(self, points: Sequence[Point]) -> list[tuple[Point, int]]:
        """Where these cells stand, each with its index in ``points``: the static loss at all
        values of the other axis."""
        static = dict(self._static())
        found = []
        for index, point in enumerate(points):
            found.append((point, index))
            for axis, place in static.items():
                if point[1 + axis] == place:
                    other = "yx"[axis]
                    length = len(self.axes[1 - axis].values)
                    found += [(point._replace(**{other: at}), index) for at in range(1, length)]
        return found


def _axes(jobs: Sequence[Sequence[str]], runs: Sequence[Run]) -> list[str]:
    """The numeric settings that the grid's diagram is drawn over, two at most."""
    words = dict.fromkeys(word.partition("=")[0] for job in jobs for word in job)
    counts: dict[str, int] = {}
    for name in words:
        setting = SETTINGS.get(name)
        if setting is None or name == "seed" or setting.choices or setting.kind is bool:
            continue
        values = {flatten(run.settings).get(name) for run in runs}
        if len(values) > 1 and all(type(value) in (int, float) for value in values):
            counts[name] = len(values)
    if set(PREFERRED) <= counts.keys():
        return list(PREFERRED)
    return sorted(counts, key=lambda name: -counts[name])[:2]


def seeded(run: Run, number: int, seed: int) -> Run:
    """The run of a cell with another seed and number."""
    words = [word for word in run.overrides if word.partition("=")[0] != "seed"]
    return Run(number, [*words, f"seed={seed}"], replaced(run.settings, {"seed": seed}))
