"""Shards of even work: how many, and where a sweep is cut."""

import itertools
import math
from collections.abc import Sequence

from dynsweep.config import Run
from dynsweep.config.launchers import SlurmConf
from dynsweep.engines import group
from dynsweep.engines.devices import available_threads
from dynsweep.engines.work import operations

# Floating-point operations a second of one CPU thread and of one GPU, in round numbers. Measured:
# 1.4e11 with the compiled engine, 5e10 with convolutions; on an H200 3e13 in the Triton kernel,
# 2e13 to 8e13 with convolutions of 64 channels, 1e12 where the simple model has momentum.
CPU_THREAD, GPU = 1e11, 1e13


def shard_count(runs: Sequence[Run], conf: SlurmConf) -> int:
    """How many shards the settings of the launcher ask for."""
    if conf.tasks is not None:
        return min(conf.tasks, len(runs))
    if conf.runs_per_task is not None:
        return math.ceil(len(runs) / conf.runs_per_task)
    threads = conf.cpus_per_task or available_threads()
    speed = conf.gpus_per_node * GPU if conf.gpus_per_node else threads * CPU_THREAD
    minutes = conf.minutes_per_task or conf.timeout_min / 2
    whole = sum(operations(run.settings) for run in runs)
    return max(1, min(math.ceil(whole / speed / (60 * minutes)), len(runs)))


def balanced(runs: Sequence[Run], count: int, most: int | None = None) -> list[list[Run]]:
    """Runs by shard; ``count`` and ``most`` as for :func:`cut`.

    Runs that can share a batch stay neighbours, and the line of runs is cut where the work of a
    shard is reached: shards differ by about one run at most, and each has few, large batches.
    """
    order = [runs[place] for batch in group([run.settings for run in runs]) for place in batch]
    work = [operations(run.settings) for run in order]
    return [order[part.start : part.stop] for part in cut(work, count, most)]


def cut(work: Sequence[float], count: int, most: int | None = None) -> list[range]:
    """Cut a line of pieces of work into ``count`` neighbouring parts of about even sums.

    None is empty. Fewer parts come out where one piece outweighs a part, more where ``most`` is
    given: none is longer than that.
    """
    total = sum(work)
    # A piece belongs to the part in which its middle lies.
    ends = itertools.accumulate(work)
    middles = [end - piece / 2 for end, piece in zip(ends, work, strict=True)]
    wanted = [min(count - 1, int(middle * count / total)) for middle in middles]
    cuts = [0]
    for place, (before, now) in enumerate(itertools.pairwise(wanted), start=1):
        full = most is not None and place - cuts[-1] >= most
        if now != before or full:
            cuts.append(place)
    return [range(*ends) for ends in itertools.pairwise([*cuts, len(work)])]
