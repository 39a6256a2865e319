"""Aggregating a very large sweep: seconds and peak memory of ``dynsweep-aggregate``.

    python benchmarks/million.py [--runs 1000000] [--tasks 1000] [--keep DIR]

Writes synthetic records as the workers of so many tasks would, then runs the command.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dynsweep.store import METRICS, Record, Store


def write(directory: Path, runs: int, tasks: int) -> None:
    """A grid of 100 x 100 periods and amplitudes, and as many seeds as make up the runs."""
    random = np.random.default_rng(0)
    numbers = np.array_split(np.arange(runs), tasks)
    for task, share in enumerate(numbers):
        store = Store(directory, f"launch-{task:04d}.")
        records = []
        for number in share.tolist():
            cell, seed = number % 10_000, number // 10_000
            period, amplitude = 10 + cell % 100, 1.0 + cell // 100
            values = random.random(4).tolist()
            records.append(
                Record(
                    id=f"{number:016x}",
                    number=number,
                    overrides=[f"loss.period={period}", f"loss.amplitude={amplitude}"],
                    config=settings(period, amplitude, seed),
                    status="completed",
                    metrics=dict(zip(METRICS, values, strict=True)),
                    seconds=0.1,
                )
            )
        store.append(records, {"engine": "compiled", "device": "cpu", "version": "synthetic"})
        store.close()


def settings(period: int, amplitude: float, seed: int) -> dict[str, object]:
    """All settings of a run, as a sweep of the simple model records them."""
    return {
        "dataset.name": "spirals", "dataset.classes": 3, "dataset.samples_per_class": 100,
        "dataset.noise": 0.2, "dataset.revolutions": 2.0, "dataset.seed": 0,
        "model.name": "mlp", "model.width": 100, "model.init": "standard", "model.bias": True,
        "loss.name": "cross_entropy", "loss.period": period, "loss.amplitude": amplitude,
        "loss.last_period_static": True, "loss.counting": "paper", "loss.static_end": 0.0,
        "optimizer.name": "sgd", "optimizer.lr": 1.0, "optimizer.momentum": 0.0,
        "optimizer.nesterov": False, "optimizer.weight_decay": 0.0, "optimizer.batch_size": None,
        "steps": 35000, "epochs": None, "seed": seed, "precision": "float32",
    }  # fmt: skip


def aggregate(directory: Path) -> tuple[float, float]:
    """Seconds and peak memory in GiB of the command, figures included."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dynsweep.cli.aggregate_command",
            str(directory),
            "--formats",
            "png",
        ],
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError("dynsweep-aggregate failed")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20


def main() -> None:
    """Write, aggregate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="write here, and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.keep or Path(temporary)
        started = time.perf_counter()
        write(directory, options.runs, options.tasks)
        written = time.perf_counter() - started
        size = sum(path.stat().st_size for path in directory.glob("runs/*"))
        print(
            f"{options.runs:,} records in {options.tasks:,} files: {size / 2**20:.0f} MiB,",
            end=" ",
        )
        print(f"written in {written:.0f} s")
        seconds, memory = aggregate(directory)
        print(f"aggregated in {seconds:.0f} s, peak memory {memory:.2f} GiB")


if __name__ == "__main__":
    main()
