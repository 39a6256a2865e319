"""How a batch of runs is trained; never part of a run's identity."""

from __future__ import annotations

from dataclasses import dataclass

from dynsweep.config.ranges import at_least, one_of

ENGINES = ("auto", "compiled", "reference", "triton", "graphed")


@dataclass(unsafe_hash=True)
class EngineConfig:
    """The engine, its most runs at a time and its CPU threads; ``None``: chosen by itself."""

    name: str = "auto"
    batch_size: int | None = None
    threads: int | None = None

    def check(self) -> None:
        """Raise :class:`ConfigError` for the first setting out of range."""
        one_of("engine.name", self.name, ENGINES)
        if self.batch_size is not None:
            at_least("engine.batch_size", self.batch_size, 1)
        if self.threads is not None:
            at_least("engine.threads", self.threads, 1)
