"""Rows of a benchmark, measured in turn, round after round; the best of a row counts, so that
other work on the machine disturbs all alike and little."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from dynsweep.config import RunConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledEngine
from dynsweep.engines.devices import available_threads
from dynsweep.training.schedules import Schedule

BATCH = 64


@dataclass
class Row:
    """One way to train ``runs`` runs; ``train(steps)`` goes on by so many steps."""

    name: str
    runs: int
    begin: Callable[[], Callable[[int], None]]
    peer: str  # torch, jax, numba or ours
    seconds: float = float("inf")  # per run and step, the best so far


def compiled(run: RunConfig, name: str = f"dynsweep, compiled engine, batch {BATCH}") -> Row:
    """Runs that differ in their seeds, with the compiled engine."""
    batch = Batch(tuple(RunConfig(**{**vars(run), "seed": seed}) for seed in range(BATCH)))

    def begin() -> Callable[[int], None]:
        return partial(Schedule(batch, "cpu").advance, CompiledEngine().begin(batch, "cpu"))

    return Row(name, BATCH, begin, "ours")


def measure(table: list[Row], rounds: int, seconds: float) -> None:
    """The best of ``rounds`` measurements of about ``seconds`` each into the rows."""
    trainers = []
    for row in table:
        train = row.begin()
        train(2)
        start = time.perf_counter()
        train(2)
        steps = max(2, int(2 * seconds / (time.perf_counter() - start)))
        train(steps)  # JAX compiles once more for this number of steps
        trainers.append((row, train, steps))
    for _ in range(rounds):
        for row, train, steps in trainers:
            # PyTorch's threads may cost more than they bring: the better of one and all counts.
            for threads in (1, available_threads()) if row.peer in ("torch", "") else (1,):
                torch.set_num_threads(threads)
                start = time.perf_counter()
                train(steps)
                taken = (time.perf_counter() - start) / steps / row.runs
                row.seconds = min(row.seconds, taken)


def markdown(tables: dict[str, list[Row]], against: int = -1) -> str:
    """Rows of equal names, a pair of columns for each of ``tables``: microseconds per run and
    step, and how many times that of the row number ``against``."""
    head = "| | " + " | ".join(f"{name} | ours is faster by" for name in tables) + " |"
    lines = [head, "|---|" + "---:|---:|" * len(tables)]
    for entries in zip(*tables.values(), strict=True):
        cells = [
            f"{row.seconds * 1e6:.3g} | {row.seconds / table[against].seconds:.1f}"
            for row, table in zip(entries, tables.values(), strict=True)
        ]
        lines.append(f"| {entries[0].name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
