"""Microseconds per run and step of the simple model: PyTorch, JAX, numba and the compiled engine.

    python benchmarks/training.py [--part peers kinds points avx2]    # about eight minutes; JAX
                                                                      # comes with .[bench]

Runs train the spirals (300 samples, 3 classes, full batch, float32) with the dynamical loss, where
a row says nothing else. Prints Markdown tables: peers; kinds of run, beside PyTorch's own SGD on
the same work; numbers of points; and all with code for processors without AVX-512, JAX's too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from typing import Any

import peers_numba
import peers_torch
from measuring import BATCH, Row, compiled, markdown, measure
from peak import multiply_adds

from dynsweep.config import LossConfig, MLPConfig, OptimizerConfig, RunConfig, SpiralsConfig
from dynsweep.config.groups import ScheduleConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_threads

try:
    import peers_jax as jax
except ImportError:
    jax = None  # type: ignore[assignment]

WIDTHS = (100, 1000)
SAMPLES, INPUTS, CLASSES = 300, 2, 3
# Per hidden unit and sample; see dynsweep/engines/compiled_passes.py.
OURS = INPUTS + (CLASSES - 1) + (INPUTS + 1) * (CLASSES - 1)
TEXTBOOK = (INPUTS + CLASSES) + (CLASSES + INPUTS + 1 + CLASSES)
MINIBATCH = 50
KINDS: dict[str, dict[str, Any]] = {
    "plain gradient descent": {},
    "momentum 0.9": {"optimizer": OptimizerConfig(lr=0.1, momentum=0.9)},
    "Nesterov's momentum": {"optimizer": OptimizerConfig(lr=0.1, momentum=0.9, nesterov=True)},
    "weight decay": {"optimizer": OptimizerConfig(weight_decay=1e-4)},
    "cosine schedule": {"optimizer": OptimizerConfig(schedule=ScheduleConfig("cosine"))},
    "mean squared error": {
        "loss": LossConfig("mean_squared_error"), "optimizer": OptimizerConfig(lr=0.1)
    },
    f"minibatches of {MINIBATCH}": {"optimizer": OptimizerConfig(lr=0.1, batch_size=MINIBATCH)},
    f"minibatches of {MINIBATCH}, momentum": {
        "optimizer": OptimizerConfig(lr=0.02, momentum=0.9, batch_size=MINIBATCH)
    },
}  # fmt: skip
# Code that numba and XLA emit for a processor with AVX2 and no AVX-512.
AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+bmi,+bmi2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}


def base(width: int, points: int = 100, **changes: Any) -> RunConfig:
    data, model = SpiralsConfig(samples_per_class=points), MLPConfig(width=width)
    return replace(RunConfig(data, model, LossConfig(), steps=10**6), **changes)


def peers(width: int, points: int = 100) -> list[Row]:
    runs = [base(width, points, seed=seed) for seed in range(BATCH)]
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
    loops = partial(peers_numba.batched, Batch(tuple(runs)))
    name = f"the same algorithm, plain numba loops, batch {BATCH}"
    return [*table, Row(name, BATCH, loops, "numba"), compiled(runs[0])]


def kinds(width: int) -> tuple[list[Row], list[Row]]:
    """PyTorch's rows and ours, of every kind."""
    runs = {name: base(width, **changes) for name, changes in KINDS.items()}
    theirs = [
        Row(name, 1, partial(peers_torch.one_run, run), "torch") for name, run in runs.items()
    ]
    return theirs, [compiled(run, name) for name, run in runs.items()]


def show_peers(options: argparse.Namespace) -> None:
    tables = {width: peers(width, options.points) for width in WIDTHS}
    for table in tables.values():
        measure(table, options.rounds, options.seconds)
    print(markdown({f"H = {width}": table for width, table in tables.items()}))
    if not jax:
        print("\nJAX is not installed (pip install -e '.[bench]'): its rows are missing.")
    if options.points != 100:
        return
    threads = available_threads()
    peak = multiply_adds(threads)
    print(
        f"\nMeasured peak: {peak / 1e9:.0f} billion multiply-adds per second ({threads} threads)."
    )
    for width, table in tables.items():
        ours, pairs = table[-1].seconds, SAMPLES * width
        print(
            f"H = {width}: as fast as the dense passes' {OURS} operations per unit "
            f"and sample at {OURS * pairs / ours / peak:.0%} of the peak, as textbook "
            f"backpropagation's {TEXTBOOK} at {TEXTBOOK * pairs / ours / peak:.0%}."
        )
        for what, peer in (("JAX", "jax"), ("ordinary PyTorch", "torch")):
            times = [row.seconds for row in table if row.peer == peer]
            if times:
                print(f"  against the best {what} row: {min(times) / ours:.1f} times faster.")


def show_kinds(options: argparse.Namespace) -> None:
    tables = {width: kinds(width) for width in WIDTHS}
    for theirs, ours in tables.values():
        measure(theirs + ours, options.rounds, options.seconds)
    columns = [f"H = {width}, PyTorch | ours | of the plain step" for width in WIDTHS]
    print("| | " + " | ".join(columns) + " |\n|---|" + "---:|---:|---:|" * len(WIDTHS))
    for place, (name, changes) in enumerate(KINDS.items()):
        size = changes["optimizer"].batch_size if "optimizer" in changes else None
        cells = []
        for theirs, ours in tables.values():
            # Of minibatches the cost per sample is compared.
            ratio = ours[place].seconds / ours[0].seconds * SAMPLES / (size or SAMPLES)
            times = [f"{row.seconds * 1e6:.3g}" for row in (theirs[place], ours[place])]
            cells += [*times, f"{ratio:.2f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement")
    parser.add_argument("--points", type=int, default=100, help="of a class, for the peers")
    parts = ("peers", "kinds", "points", "avx2")
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    print(f"Microseconds per run and step, float32, {available_threads()} threads.")
    own = ["--rounds", str(options.rounds), "--seconds", str(options.seconds)]
    again = [sys.executable, __file__, *own, "--part", "peers"]
    for part in options.part:
        print(f"\n## {part}\n", flush=True)
        if part == "peers":
            show_peers(options)
        elif part == "kinds":
            show_kinds(options)
        elif part == "points":
            subprocess.run([*again, "--points", "1000"], check=True)
        else:
            for points in ("100", "1000"):
                command = [*again, "--points", points]
                subprocess.run(command, check=True, env=os.environ | AVX2)


if __name__ == "__main__":
    main()
