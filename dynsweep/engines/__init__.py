"""Engines, the choice between them, and the batches that they train."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from functools import cache
from operator import attrgetter

from dynsweep.config import RunConfig
from dynsweep.engines.base import Engine, Session
from dynsweep.engines.capabilities import ANY, allowed, declarations_of, kinds
from dynsweep.engines.compiled import CompiledEngine
from dynsweep.engines.graphed import GraphedEngine
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.engines.triton import TritonEngine
from dynsweep.errors import ConfigError

__all__ = ["ENGINES", "Engine", "Session", "choose", "group"]

# Fastest first: engine=auto takes the first that has no obstacle.
ENGINES: tuple[Engine, ...] = (
    CompiledEngine(),
    TritonEngine(),
    GraphedEngine(),
    ReferenceEngine(),
)


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
        classes = kinds(run)
        shared, limits = _readers(classes)
        key = (classes, shared(run), *[get(run) in values for get, values in limits])
        groups.setdefault(key, []).append(position)
    return list(groups.values())


Reader = Callable[[RunConfig], Hashable]
Limit = tuple[Reader, Collection[Hashable]]


@cache
def _readers(classes: tuple[type, ...]) -> tuple[Reader, list[Limit]]:
    """For runs of these classes, the values of all shared settings; and each batched one that
    an engine limits, with the values that this engine allows."""
    settings = declarations_of(classes)
    shared: Reader = attrgetter(*[name for name, one in settings.items() if not one.batched])
    limits: list[Limit] = [
        (attrgetter(name), values)
        for name, setting in settings.items()
        for engine in ENGINES
        if setting.batched and (values := allowed(engine.trains, setting)) is not ANY
    ]
    return shared, limits
