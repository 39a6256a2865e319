"""How the compiled engine's time grows with runs, width, samples and threads: CSV and a figure.

    python benchmarks/scaling.py [--out outputs/reference/scaling]      # about a minute

Each point is the best of several measurements of whole chunks of steps, float32.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from dynsweep.config import EngineConfig, MLPConfig, RunConfig, SpiralsConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledEngine
from dynsweep.engines.devices import available_threads
from dynsweep.figures import style
from dynsweep.training.schedules import Schedule

BASE = {"runs": 64, "width": 100, "samples": 300, "threads": available_threads()}
AXES = {
    "runs": [1, 2, 4, 8, 16, 32, 64, 128, 256],
    "width": [10, 30, 100, 300, 1000, 3000],
    "samples": [30, 90, 300, 900, 3000, 9000],
    "threads": list(range(1, available_threads() + 1)),
}
LABELS = {
    "runs": "runs in the batch",
    "width": "hidden units H",
    "samples": "training samples P",
    "threads": "threads",
}


def measure(runs: int, width: int, samples: int, threads: int, seconds: float) -> float:
    """Seconds per step of the whole batch."""
    settings = RunConfig(
        SpiralsConfig(samples_per_class=samples // 3),
        MLPConfig(width=width),
        engine=EngineConfig(threads=threads),
        steps=10**9,
    )
    batch = Batch(tuple(RunConfig(**{**vars(settings), "seed": seed}) for seed in range(runs)))
    advance = partial(Schedule(batch, "cpu").advance, CompiledEngine().begin(batch, "cpu"))
    advance(2)
    start = time.perf_counter()
    advance(4)
    steps = max(2, int(4 * seconds / (time.perf_counter() - start)))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        advance(steps)
        best = min(best, (time.perf_counter() - start) / steps)
    return best


@style.styled
def draw(table: pd.DataFrame, path: Path) -> None:
    figure = Figure(figsize=(12, 3.6))
    axes = figure.subplots(1, 4)
    for ax, axis in zip(axes, AXES, strict=True):
        rows = table[table["axis"] == axis]
        ax.plot(rows["value"], rows["microseconds"], "o-")
        ax.set_xlabel(LABELS[axis])
        if axis != "threads":
            ax.set_xscale("log")
            first = rows.iloc[-1]
            line = [first["microseconds"] * v / first["value"] for v in rows["value"]]
            ax.plot(rows["value"], line, ":", color="0.5", label="proportional")
            ax.legend(loc="upper left")
            ax.set_yscale("log")
        else:
            ax.set_xticks(rows["value"])
            ax.set_ylim(0)
    axes[0].set_ylabel("time per step of the batch (µs)")
    fixed = "{runs} runs, H = {width}, P = {samples}, {threads} threads".format(**BASE)
    style.title(figure, "Time of the compiled engine, float32", f"where not varied: {fixed}")
    style.save_all(figure, path / "scaling")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/reference/scaling"))
    parser.add_argument("--seconds", type=float, default=0.3, help="of one measurement")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for axis, values in AXES.items():
        for value in values:
            seconds = measure(**{**BASE, axis: value}, seconds=options.seconds)
            rows.append({"axis": axis, "value": value, "microseconds": seconds * 1e6})
            print(f"{axis} = {value}: {seconds * 1e6:.4g} µs per step of the batch")
    table = pd.DataFrame(rows)
    table.to_csv(options.out / "scaling.csv", index=False, float_format="%.5g")
    draw(table, options.out)


if __name__ == "__main__":
    main()
