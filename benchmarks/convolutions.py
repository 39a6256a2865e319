"""Samples per second of Myrtle5 on random images: 1, 4 and 16 runs, fused or one after the other.

    python benchmarks/convolutions.py [--device cuda --widths 64 --minibatches 512
                                       --precisions float32 tf32 bfloat16]

"Fused" trains the runs in one session (a grouped convolution), "in turn" in sessions of one run,
as dynsweep does on the CPU; "before" is that with an allocator that gives memory back to the
system in every step, as it was; "ordinary PyTorch" is a module and torch.optim.SGD, one run after
the other. "System" is the share of the processor's time in which it gave and took memory. Without
evaluation. The last column is what 10 x 10 cells of 50 epochs of 50,000 images would take at the
best of dynsweep's rates. With --threads 1 processor time is counted, and a busy machine does no
harm.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from dynsweep.config import CIFAR10Config, LossConfig, Myrtle5Config, OptimizerConfig, RunConfig
from dynsweep.data import Dataset
from dynsweep.data.cifar10 import statistics
from dynsweep.engines import batches
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_threads, memory_kept
from dynsweep.engines.reference import ReferenceSession
from dynsweep.training.schedules import Schedule

SAMPLES = 2048
DIAGRAM = 10 * 10 * 50 * 50_000


def images() -> Dataset:
    rng = np.random.RandomState(0)
    pixels = rng.randint(0, 256, (SAMPLES, 3, 32, 32)).astype(np.uint8)
    labels = np.arange(SAMPLES) % 10
    mean, std = statistics(pixels)
    return Dataset(pixels, labels, pixels[:10], labels[:10], 10, mean, std)


def fused(runs: int, run: RunConfig, device: str) -> Callable[[int], None]:
    many = tuple(RunConfig(**{**vars(run), "seed": seed}) for seed in range(runs))
    batch = Batch(many)
    return partial(Schedule(batch, device).advance, ReferenceSession(batch, device))


def in_turn(runs: int, run: RunConfig, device: str) -> Callable[[int], None]:
    sessions = [fused(1, run, device) for _ in range(runs)]

    def train(steps: int) -> None:
        for advance in sessions:
            advance(steps)

    return train


def ordinary(runs: int, run: RunConfig, device: str) -> Callable[[int], None]:
    def conv(inputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, run.model.width, 3, padding=1, bias=False), nn.ReLU()]

    width, size = run.model.width, run.optimizer.batch_size or SAMPLES
    model = nn.Sequential(
        *conv(3), *conv(width), nn.AvgPool2d(2), *conv(width), nn.AvgPool2d(2), *conv(width),
        nn.AvgPool2d(8), nn.Flatten(), nn.Linear(width, 10, bias=False),
    )  # fmt: skip
    model = model.to(device)
    made = images()
    inputs = torch.as_tensor(made.train_inputs, device=device).float() / 128 - 1
    labels = torch.as_tensor(made.train_labels, device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def train(steps: int) -> None:
        for _ in range(runs * steps):
            index = torch.randint(0, SAMPLES, (size,), device=device)
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16, run.precision == "bfloat16"):
                logits = model(inputs[index])
            functional.cross_entropy(logits.float(), labels[index]).backward()
            optimizer.step()

    return train


def rate(
    train: Callable[[int], None], samples: int, seconds: float, device: str, keep: bool
) -> tuple[float, float]:
    """Samples per second, the best of three measurements, and the system's share of the
    processor time; ``samples`` of one step."""
    now = time.perf_counter
    if device == "cpu" and torch.get_num_threads() == 1:
        now = time.process_time
    system, total = 0.0, 0.0

    def timed(steps: int) -> float:
        nonlocal system, total
        start, before = now(), os.times()
        train(steps)
        if device == "cuda":
            torch.cuda.synchronize()
        after = os.times()
        system += after.system - before.system
        total += after.system - before.system + after.user - before.user
        return (now() - start) / steps

    with memory_kept() if keep else nullcontext():
        timed(1)
        steps = max(1, int(seconds / timed(1)))
        best = min(timed(steps) for _ in range(3))
    return samples / best, system / total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=available_threads(), help="of the CPU")
    parser.add_argument("--widths", type=int, nargs="+", default=[16])
    parser.add_argument("--minibatches", type=int, nargs="+", default=[100, 512])
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    device = options.device
    torch.set_num_threads(options.threads)
    fixed = images()
    batches.load = lambda config: fixed  # type: ignore[assignment]  # no files needed
    print(
        "| channels | minibatch | precision | runs | fused | in turn (system) "
        "| before (system) | ordinary PyTorch (system) | best / ordinary | diagram |"
    )
    print("|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    for width, size, precision, runs in itertools.product(
        options.widths, options.minibatches, options.precisions, options.runs
    ):
        run = RunConfig(
            CIFAR10Config(),
            Myrtle5Config(width=width),
            LossConfig(),
            OptimizerConfig(lr=0.01, momentum=0.9, nesterov=True, batch_size=size),
            precision=precision,
        )
        kinds = [(ordinary, False), (in_turn, False), (in_turn, True), (fused, True)]
        plain, before, turn, together = (
            rate(begin(runs, run, device), runs * size, options.seconds, device, keep)
            for begin, keep in kinds
        )
        best = max(together[0], turn[0])
        cells = " | ".join(f"{one:,.0f} ({share:.0%})" for one, share in (turn, before, plain))
        print(
            f"| {width} | {size} | {precision} | {runs} | {together[0]:,.0f} | {cells} "
            f"| {best / plain[0]:.2f} | {DIAGRAM / best / 3600:.1f} h |",
            flush=True,
        )


if __name__ == "__main__":
    main()
