"""How a batch of runs is trained."""

from dataclasses import dataclass

from dynsweep.settings import setting

ENGINES = ("auto", "compiled", "reference", "triton", "graphed")


@dataclass(unsafe_hash=True)
class EngineConfig:
    """The engine, its most runs at a time and its CPU threads."""

    name: str = setting(
        "auto", "auto takes the fastest that can train the run", choices=ENGINES, place=True
    )
    batch_size: int | None = setting(
        None, "most runs trained together; null: chosen to fit the memory", least=1, place=True
    )
    threads: int | None = setting(
        None, "CPU threads; null: all that this process may use", least=1, place=True
    )
