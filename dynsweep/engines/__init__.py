"""Engines, the choice between them, and the batches that they train."""

from collections.abc import Hashable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from dynsweep.config import RunConfig
from dynsweep.config.run import settings_of
from dynsweep.engines.base import ANY, Engine, Session, allowed
from dynsweep.engines.compiled import CompiledEngine
from dynsweep.engines.graphed import GraphedEngine
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.engines.triton import TritonEngine
from dynsweep.errors import ConfigError

__all__ = ["ENGINES", "Engine", "Session", "choose", "group"]

# Fastest first: engine=auto takes the first that has no obstacle.
ENGINES = (CompiledEngine(), TritonEngine(), GraphedEngine(), ReferenceEngine())


def choose(run: RunConfig, device: str) -> Engine:
    """The engine for runs like ``run`` on ``device`` (``cpu``, ``cuda`` or ``cuda:N``).

    Raises:
        ConfigError: the engine asked for cannot train them.
    """
    for engine in ENGINES:
        obstacle = engine.obstacle(run, device)
        if run.engine.name == engine.name and obstacle is not None:
            raise ConfigError("engine", engine.name, obstacle)
        if run.engine.name in ("auto", engine.name) and obstacle is None:
            return engine
    # The reference engine came last and does the most: what it cannot do, none can.
    raise ConfigError(
        "engine", run.engine.name, f"no engine can; the {engine.name} one {obstacle}"
    )


def group(runs: Sequence[RunConfig]) -> list[list[int]]:
    """Positions of ``runs`` that can share batches, in order of first appearance.

    Runs of a group are equal in every setting that is not declared ``batched``, and what
    :func:`choose` says of one holds for all: where an engine trains some values of a batched
    setting only, runs with other values are a group of their own.
    """
    groups: dict[Hashable, list[int]] = {}
    for position, run in enumerate(runs):
        shared, limited = _readers(run.dataset.name, run.model.name)
        key = (shared(run), *[read(run) in values for read, values in limited])
        groups.setdefault(key, []).append(position)
    return list(groups.values())


@cache
def _readers(dataset: str, model: str) -> tuple[Any, list[tuple[Any, Sequence[Any]]]]:
    """For such runs, a reader of all shared settings; and one of each batched setting that an
    engine limits, with the values that this engine allows."""
    settings = settings_of(dataset, model)
    limited = [
        (attrgetter(name), values)
        for name, setting in settings.items()
        for engine in ENGINES
        if setting.batched and (values := allowed(engine.trains, setting)) is not ANY
    ]
    return attrgetter(*[name for name, one in settings.items() if not one.batched]), limited
