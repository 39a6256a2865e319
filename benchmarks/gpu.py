"""The CUDA engines side by side: microseconds per run and step, and a grid of 50 x 50 runs.

    python benchmarks/gpu.py [--side 50] [--steps 35000] [--units 4 7 10 13 16]

Every engine is first checked against the reference engine in float64 on the CPU; one that
disagrees is not timed. Prints Markdown. ``--units`` also times the Triton engine with other
limits on the hidden units that a thread holds (fewer: more threads per run, more runs at a time
on a multiprocessor, but more work in shuffles and softmax).
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from unittest import mock

import numpy as np
import torch

from dynsweep.config import LossConfig, MLPConfig, ObserveConfig, RunConfig, SpiralsConfig
from dynsweep.engines import Engine
from dynsweep.engines.batches import Batch
from dynsweep.engines.graphed import GraphedEngine
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.engines.triton import TritonEngine
from dynsweep.training.driver import train
from dynsweep.training.schedules import Schedule

ROWS: dict[str, Engine] = {
    "Triton, weights in registers": TritonEngine(),
    "batched PyTorch, CUDA graphs": GraphedEngine(),
    "batched PyTorch": ReferenceEngine(),
}
# Trajectories are chaotic, at H = 1000 soon: float32 is compared for a few steps only.
CHECKED_STEPS = {"float64": 30, "float32": 10}
TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
MULTIPLY_ADDS = 13  # per sample and hidden unit at 2 inputs and 3 classes: 2 + 3, and 3 + 3 + 2


def grid(side: int, steps: int, width: int = 100, precision: str = "float32") -> Batch:
    """``side`` periods from 10 to 3000 times ``side`` amplitudes from 1 to 70."""
    run = RunConfig(
        dataset=SpiralsConfig(),
        model=MLPConfig(width=width),
        steps=steps,
        precision=precision,
    )
    return Batch(
        tuple(
            dataclasses.replace(run, loss=LossConfig(period=round(period), amplitude=amplitude))
            for period in np.geomspace(10, 3000, side)
            for amplitude in np.geomspace(1, 70, side).tolist()
        )
    )


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def error(engine: Engine, device: str, precision: str, width: int) -> float:
    """Largest ``|w - exact| / |exact|`` over the weights of nine runs, CHECKED_STEPS in."""
    batches = {p: grid(3, 35_000, width, p) for p in ("float64", precision)}
    exact = ReferenceEngine().begin(batches["float64"], "cpu")
    session = engine.begin(batches[precision], device)
    Schedule(batches["float64"], "cpu").advance(exact, CHECKED_STEPS[precision])
    Schedule(batches[precision], device).advance(session, CHECKED_STEPS[precision])
    theirs = exact.weights()
    return max(
        float(np.linalg.norm(value - theirs[name]) / np.linalg.norm(theirs[name]))
        for name, value in session.weights().items()
    )


def microseconds(engine: Engine, batch: Batch, device: str, steps: int) -> float:
    """Per run and step: the median of five, after a warm-up that compiles and captures."""
    session, schedule = engine.begin(batch, device), Schedule(batch, device)
    schedule.advance(session, steps)
    taken = []
    for _ in range(5):
        synchronize(device)
        start = time.perf_counter()
        schedule.advance(session, steps)
        synchronize(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) / (len(batch) * steps) * 1e6


def multiply_adds_per_second(device: str) -> float:
    """Measured peak of the float32 multiply-add units: a large matrix product without TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    size = 8192 if device.startswith("cuda") else 512
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    rates = []
    for _ in range(6):
        synchronize(device)
        start = time.perf_counter()
        a @ b
        synchronize(device)
        rates.append(size**3 / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def whole_grid(side: int, steps: int, device: str, records: int) -> float:
    """Seconds for ``side`` x ``side`` runs with the Triton engine, as a sweep trains them."""
    runs = grid(side, steps).runs
    engine = ROWS["Triton, weights in registers"]
    observe = ObserveConfig(records=records)
    size = engine.batch_size(runs[0], device)
    start = time.perf_counter()
    for first in range(0, len(runs), size):
        part = tuple(dataclasses.replace(r, observe=observe) for r in runs[first : first + size])
        train(Batch(part), engine, device)
    return time.perf_counter() - start


def main() -> None:
    """Check, time, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=50, help="of the grid")
    parser.add_argument("--steps", type=int, default=35_000, help="of a run of the grid")
    parser.add_argument("--timed-steps", type=int, default=1000, help="of the first table")
    parser.add_argument("--widths", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--units", type=int, nargs="*", default=[], help="per thread, to compare")
    parser.add_argument("--device", default="cuda", help="cpu: a rehearsal, with the interpreter")
    options = parser.parse_args()
    device = options.device
    if device.startswith("cuda") and not torch.cuda.is_available():
        print("No GPU here: the CUDA engines were not run, and nothing was measured.")
        return
    name = torch.cuda.get_device_name() if device.startswith("cuda") else "CPU, rehearsal"
    peak = multiply_adds_per_second(device)
    print(f"{name}, PyTorch {torch.__version__}; {peak / 1e12:.1f} T multiply-adds/s measured\n")
    print("| | H | error float64 | error float32 | runs | us per run and step | ratio | of peak |")
    print("|---|---|---|---|---|---|---|---|")
    for width in options.widths:
        first = None
        for row, engine in ROWS.items():
            batch = grid(options.side, options.steps, width)
            obstacle = engine.obstacle(batch.first, device)
            if obstacle is not None:
                print(f"| {row} | {width} | {obstacle} |")
                continue
            errors = {p: error(engine, device, p, width) for p in TOLERANCES}
            cells = f"| {row} | {width} | " + " | ".join(f"{e:.1e}" for e in errors.values())
            if not all(errors[p] <= most for p, most in TOLERANCES.items()):
                print(f"{cells} | not timed: disagrees |")
                continue
            size = min(len(batch), engine.batch_size(batch.first, device))
            each = microseconds(engine, Batch(batch.runs[:size]), device, options.timed_steps)
            first = first or each
            pairs = len(batch.dataset.train_labels) * width
            share = MULTIPLY_ADDS * pairs / each * 1e6 / peak
            print(
                f"{cells} | {size} | {each:.4f} | {each / first:.1f} | {share:.0%} |", flush=True
            )
    for most in options.units:
        with mock.patch("dynsweep.engines.triton.most_units", lambda *_, most=most: most):
            batch = grid(options.side, options.steps)
            engine = ROWS["Triton, weights in registers"]
            each = microseconds(engine, batch, device, options.timed_steps)
            print(
                f"\nAt most {most} hidden units a thread: {each:.4f} us per run and step, H = 100"
            )
    whole_grid(2, 64, device, 0)  # compiles
    plain, recorded = (whole_grid(options.side, options.steps, device, n) for n in (0, 200))
    cells = f"{options.side} x {options.side} runs of {options.steps} steps at H = 100"
    print(f"\n{cells}: {plain:.2f} s; with 200 records a run {recorded:.2f} s")


if __name__ == "__main__":
    main()
