"""Samples per second of Myrtle5 on random images: 1, 4 and 16 runs, fused or one after the other.

    python benchmarks/convolutions.py [--device cuda --width 64 --minibatch 512
                                       --precisions float32 tf32 bfloat16]

"Fused" trains the runs in one session (a grouped convolution), "in turn" in sessions of one run,
as dynsweep does on the CPU; "ordinary PyTorch" is a module and torch.optim.SGD, one run after the
other. Without evaluation. The last column is what 10 x 10 cells of 50 epochs of 50,000
images would take at the best of dynsweep's rates.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
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


def rate(train: Callable[[int], None], samples: int, device: str, seconds: float) -> float:
    """Samples per second, the best of three measurements; ``samples`` of one step."""

    def timed(steps: int) -> float:
        start = time.perf_counter()
        train(steps)
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps

    timed(1)
    steps = max(1, int(seconds / timed(1)))
    return samples / min(timed(steps) for _ in range(3))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--minibatch", type=int, default=100)
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    fixed = images()
    batches.load = lambda config: fixed  # type: ignore[assignment]  # no files needed
    print("| precision | runs | fused | in turn | ordinary PyTorch | best / ordinary | diagram |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for precision in options.precisions:
        run = RunConfig(
            CIFAR10Config(),
            Myrtle5Config(width=options.width),
            LossConfig(),
            OptimizerConfig(lr=0.01, momentum=0.9, nesterov=True, batch_size=options.minibatch),
            precision=precision,
        )
        for runs in options.runs:
            found = [
                rate(begin(runs, run, options.device), runs * options.minibatch, options.device,
                     options.seconds)
                for begin in (fused, in_turn, ordinary)
            ]  # fmt: skip
            best = max(found[:2])
            cells = " | ".join(f"{one:,.0f}" for one in found)
            print(
                f"| {precision} | {runs} | {cells} | {best / found[2]:.2f} "
                f"| {DIAGRAM / best / 3600:.1f} h |"
            )


if __name__ == "__main__":
    main()
