"""How many shares a sweep is cut into, and where: even in work, few batches broken."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dynsweep.cluster.cost import seconds, work
from dynsweep.config import RunConfig
from dynsweep.engines import group
from dynsweep.errors import ConfigError


@dataclass(frozen=True)
class Dealing:
    """How large shares are; at most one of the three is given.

    Attributes:
        tasks: so many shares (never more than runs).
        runs_per_task: at most so many runs in each.
        minutes_per_task: about so long for each, by estimate.
        default_minutes: as ``minutes_per_task``, where none of them is given.
        threads: CPU threads of a worker, for the estimate.
        gpus: GPUs of a worker.
    """

    tasks: int | None = None
    runs_per_task: int | None = None
    minutes_per_task: float | None = None
    default_minutes: float = 30.0
    threads: int = 1
    gpus: int = 0

    def check(self) -> None:
        """Raise :class:`ConfigError` for settings out of range, or that exclude each other."""
        names = ("tasks", "runs_per_task", "minutes_per_task")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        for name, value in given.items():
            if value <= 0 or not math.isfinite(value):
                raise ConfigError(f"hydra.launcher.{name}", value, "must be above 0, or null")
        if len(given) > 1:
            first, second = list(given.items())[:2]
            allowed = f"excludes hydra.launcher.{first[0]}={first[1]}; give one of them"
            raise ConfigError(f"hydra.launcher.{second[0]}", second[1], allowed)


def deal(runs: Sequence[RunConfig], how: Dealing) -> list[list[int]]:
    """Positions of ``runs`` by share; every run is in one.

    Runs that can share a batch stay neighbours, and the line of runs is cut where the work of a
    share is reached: shares differ by about one run at most, and each has few, large batches.
    """
    if not runs:
        return []
    order = [position for positions in group(runs) for position in positions]
    efforts = [work(runs[position]) for position in order]
    if how.tasks is not None:
        count = how.tasks
    elif how.runs_per_task is not None:
        count = math.ceil(len(runs) / how.runs_per_task)
    else:
        minutes = how.minutes_per_task or how.default_minutes
        whole = sum(seconds(run, how.threads, how.gpus) for run in runs)
        count = math.ceil(whole / (60 * minutes))
    count = max(1, min(count, len(runs)))
    return [[order[place] for place in part] for part in cut(efforts, count, how.runs_per_task)]


def cut(efforts: Sequence[float], count: int, most: int | None = None) -> list[range]:
    """Cut a line of efforts into ``count`` neighbouring parts of about even sums, none empty.

    Fewer parts come out where one effort outweighs a part, more where ``most`` is given: none
    is longer than that.
    """
    total = sum(efforts)
    # An effort belongs to the part in which its middle lies.
    middles = [
        end - effort / 2
        for end, effort in zip(itertools.accumulate(efforts), efforts, strict=True)
    ]
    wanted = [min(count - 1, int(middle * count / total)) for middle in middles]
    cuts = [0]
    for place, (before, now) in enumerate(itertools.pairwise(wanted), start=1):
        full = most is not None and place - cuts[-1] >= most
        if now != before or full:
            cuts.append(place)
    return [range(*ends) for ends in itertools.pairwise([*cuts, len(efforts)])]
