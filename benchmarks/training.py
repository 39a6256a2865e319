"""Microseconds per run and step of the simple model: PyTorch, JAX, numba and the compiled engine.

    python benchmarks/training.py            # about two minutes; JAX comes with .[bench]

Every row trains the spirals (300 samples, 3 classes, full batch, float32) with the dynamical
loss. Rows are measured in turn, round after round, and the best of a row counts, so that other
work on the machine disturbs all alike and little. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import peers_numba
import peers_torch
import torch
from peak import multiply_adds

from dynsweep.config import LossConfig, MLPConfig, RunConfig, SpiralsConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledEngine
from dynsweep.engines.devices import available_threads
from dynsweep.training.schedules import Schedule

try:
    import peers_jax as jax
except ImportError:
    jax = None  # type: ignore[assignment]

BATCH = 64
SAMPLES, INPUTS, CLASSES = 300, 2, 3
# Per hidden unit and sample; see dynsweep/engines/compiled_passes.py.
OURS = INPUTS + (CLASSES - 1) + (INPUTS + 1) * (CLASSES - 1)
TEXTBOOK = (INPUTS + CLASSES) + (CLASSES + INPUTS + 1 + CLASSES)


@dataclass
class Row:
    """One way to train ``runs`` runs; ``train(steps)`` goes on by so many steps."""

    name: str
    runs: int
    begin: Callable[[], Callable[[int], None]]
    peer: str  # torch, jax, numba or ours
    seconds: float = float("inf")  # per run and step, the best so far


def rows(width: int) -> list[Row]:
    runs = [
        RunConfig(SpiralsConfig(), MLPConfig(width=width), LossConfig(), seed=seed, steps=10**6)
        for seed in range(BATCH)
    ]
    table = [
        Row("one PyTorch run, autograd and SGD", 1, lambda: peers_torch.one_run(runs[0]), "torch"),
        Row(f"batched PyTorch (bmm), batch {BATCH}", BATCH, lambda: peers_torch.batched(runs), ""),
    ]
    if jax:
        table += [
            Row("JAX, one jitted step per call", 1, lambda: jax.step_per_call(runs[0]), "jax"),
            Row("JAX, scan over steps, one run", 1, lambda: jax.scanned(runs[:1]), "jax"),
            Row(f"JAX, vmap over {BATCH} runs, scan", BATCH, lambda: jax.scanned(runs), "jax"),
        ]
    ours = Batch(tuple(runs))

    def compiled() -> Callable[[int], None]:
        return partial(Schedule(ours, "cpu").advance, CompiledEngine().begin(ours, "cpu"))

    loops = partial(peers_numba.batched, ours)
    return [
        *table,
        Row(f"the same algorithm, plain numba loops, batch {BATCH}", BATCH, loops, "numba"),
        Row(f"dynsweep, compiled engine, batch {BATCH}", BATCH, compiled, "ours"),
    ]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement")
    options = parser.parse_args()
    widths = (100, 1000)
    tables = [rows(width) for width in widths]
    for table in tables:
        measure(table, options.rounds, options.seconds)

    threads = available_threads()
    print(f"Microseconds per run and step, float32, {threads} threads:\n")
    print("| | " + " | ".join(f"H = {width} | ours is faster by" for width in widths) + " |")
    print("|---|" + "---:|---:|" * len(widths))
    for entries in zip(*tables, strict=True):
        cells = [
            f"{row.seconds * 1e6:.3g} | {row.seconds / table[-1].seconds:.1f}"
            for row, table in zip(entries, tables, strict=True)
        ]
        print(f"| {entries[0].name} | " + " | ".join(cells) + " |")
    if not jax:
        print("\nJAX is not installed (pip install -e '.[bench]'): its rows are missing.")

    print()
    peak = multiply_adds(threads)
    print(f"Measured peak: {peak / 1e9:.0f} billion multiply-adds per second ({threads} threads).")
    for width, table in zip(widths, tables, strict=True):
        ours, pairs = table[-1].seconds, SAMPLES * width
        print(
            f"H = {width}: {OURS} multiply-adds or additions per unit and sample, none of them "
            f"recomputation: {OURS * pairs / ours / 1e9:.0f} billion per second, "
            f"{OURS * pairs / ours / peak:.0%} of the peak; counted as the {TEXTBOOK} of textbook "
            f"backpropagation, {TEXTBOOK * pairs / ours / peak:.0%}."
        )
        for what, peers in (("JAX", "jax"), ("ordinary PyTorch", "torch")):
            times = [row.seconds for row in table if row.peer == peers]
            if times:
                print(f"  against the best {what} row: {min(times) / ours:.1f} times faster.")


if __name__ == "__main__":
    main()
