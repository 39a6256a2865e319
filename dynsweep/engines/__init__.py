"""Engines, and the choice between them."""

from __future__ import annotations

from dynsweep.config import RunConfig
from dynsweep.engines.base import Engine, Metrics, Session
from dynsweep.engines.compiled import CompiledEngine
from dynsweep.engines.graphed import GraphedEngine
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.engines.triton import TritonEngine
from dynsweep.errors import ConfigError

__all__ = ["Engine", "Metrics", "Session", "choose"]

# Fastest first: engine=auto takes the first that has no obstacle.
REGISTRY: tuple[type[Engine], ...] = (CompiledEngine, TritonEngine, GraphedEngine, ReferenceEngine)


def choose(run: RunConfig, device: str) -> Engine:
    """The engine for runs like ``run`` on ``device`` (``cpu``, ``cuda`` or ``cuda:N``).

    Raises:
        ConfigError: the engine asked for cannot train them.
    """
    for kind in REGISTRY:
        engine = kind()
        obstacle = engine.obstacle(run, device)
        if run.engine.name == engine.name and obstacle is not None:
            raise ConfigError("engine", engine.name, obstacle)
        if run.engine.name in ("auto", engine.name) and obstacle is None:
            return engine
    # The reference engine came last and does the most: what it cannot do, none can.
    raise ConfigError(
        "engine", run.engine.name, f"no engine can; the {engine.name} one {obstacle}"
    )
