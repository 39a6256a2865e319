"""One section of ``gpu.py``: writes its rows to a file, a line of JSON each, as they come.

    python benchmarks/gpu_sections.py correct|simple|convolutions|memory|command FILE [--rehearse]

A rehearsal takes the same path on the CPU, in sizes that show nothing but that it can be walked:
CUDA graphs are those of tests/cuda_on_cpu.py, Triton runs in its interpreter.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import convolutions
import gpu_command
import numpy as np
import torch
from torch import nn

from dynsweep.config import (
    CIFAR10Config,
    LossConfig,
    MLPConfig,
    Myrtle5Config,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    SpiralsConfig,
    WideResNetConfig,
)
from dynsweep.engines import batches, reference
from dynsweep.engines.base import Session
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import torch_settings
from dynsweep.engines.graphed import WAYS
from dynsweep.engines.graphed_session import GraphedSession
from dynsweep.engines.reference import ReferenceSession, memory
from dynsweep.engines.triton import TritonSession, triton_missing
from dynsweep.training.schedules import Schedule

Row = dict[str, Any]
ENGINES: dict[str, type[Session]] = {
    "triton": TritonSession, "graphed": GraphedSession, "reference": ReferenceSession,
}  # fmt: skip
SGD = OptimizerConfig(lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01, batch_size=50)
TOLERANCES = {"float64": 1e-9, "float32": 1e-3, "tf32": 0.03, "bfloat16": 0.1}
SIMPLE = RunConfig(SpiralsConfig(), MLPConfig(), LossConfig())
SMALL = {"myrtle5": Myrtle5Config(width=8), "wide_resnet": WideResNetConfig(width=4, depth=10)}


class Sections:
    """Where and how much to measure."""

    def __init__(self, rehearse: bool, units: list[int]) -> None:
        self.rehearse, self.units = rehearse, units
        self.device = "cpu" if rehearse else "cuda"
        self.images = convolutions.images()
        load = batches.load
        for module in (batches, reference):  # no files needed
            module.load = lambda config: (  # type: ignore[assignment]
                self.images if config.name == "cifar10" else load(config)
            )

    def correct(self) -> Iterator[Row]:
        """The relative error of what a few steps changed, against float64 on the CPU."""
        cosine = replace(SGD, schedule=ScheduleConfig("cosine", warmup=0.2))
        pictures = replace(SIMPLE, dataset=CIFAR10Config(augment=True), optimizer=cosine)
        cases = {
            "simple": SIMPLE,
            "H = 1000": replace(SIMPLE, model=MLPConfig(width=1000)),
            "squared error": replace(SIMPLE, loss=LossConfig(name="mean_squared_error")),
            "schedule": replace(SIMPLE, optimizer=replace(cosine, batch_size=None)),
            "minibatches": replace(SIMPLE, optimizer=cosine),
        } | {name: replace(pictures, model=model) for name, model in SMALL.items()}
        for (case, run), (name, kind) in (
            (case, engine) for case in cases.items() for engine in ENGINES.items()
        ):
            simple = case in ("simple", "H = 1000")
            if name == "triton" and (not simple or triton_missing()):
                continue
            few = self.rehearse and (name == "triton" or not simple)
            for precision in ("float64", "float32", "tf32", "bfloat16"):
                if precision in ("tf32", "bfloat16") and (simple or name == "reference"):
                    continue
                steps = 2 if few else 8
                error = self.error(run, kind, precision, steps)
                yield {"case": case, "engine": name, "precision": precision, "steps": steps,
                       "error": error, "agrees": error < TOLERANCES[precision]}  # fmt: skip

    def error(self, run: RunConfig, kind: type[Session], precision: str, steps: int) -> float:
        """Of all weights together, in how far they moved."""
        run = replace(run, steps=8, loss=replace(run.loss, period=5))
        runs = [replace(run, seed=seed) for seed in range(1 if self.rehearse else 3)]
        ends = []
        for one, where, by in (
            ("float64", "cpu", ReferenceSession),
            (precision, self.device, kind),
        ):
            with torch_settings(replace(run, precision=one), where):
                advance = self.begin(by, [replace(each, precision=one) for each in runs], where)
                first = advance.args[0].weights()
                advance(steps)
            ends.append(advance.args[0].weights())

        def distance(a: dict[str, Any], b: dict[str, Any]) -> float:
            return float(np.sqrt(sum(np.sum((a[name] - b[name]) ** 2) for name in a)))

        return distance(*ends) / distance(ends[1], first)

    def begin(self, kind: type[Session], runs: list[RunConfig], device: str = "") -> partial[None]:
        """A function of the number of steps, whose argument is the session."""
        batch, device = Batch(tuple(runs)), device or self.device
        return partial(Schedule(batch, device).advance, kind(batch, device))

    def seconds(self, advance: Callable[[int], None], enough: float = 1.0) -> float:
        """Of a step: the median of five, each of about a fifth of ``enough``."""
        if self.rehearse:
            advance(1)
            return 0.0

        def timed(steps: int) -> float:
            start = time.perf_counter()
            advance(steps)
            torch.cuda.synchronize()
            return (time.perf_counter() - start) / steps

        timed(33)  # compiles and captures
        steps = max(1, int(enough / 5 / timed(4)))
        steps += -steps % 32 if steps > 8 else 0  # whole graphs
        timed(steps)
        return statistics.median(timed(steps) for _ in range(5))

    def simple(self) -> Iterator[Row]:
        """Microseconds per run and step of the simple model, beside those of others."""
        for width in (4,) if self.rehearse else (100, 1000):
            run = replace(SIMPLE, model=MLPConfig(width=width))
            many = 2 if self.rehearse else 2500
            rows = [("PyTorch, eager", 1, partial(self.ordinary, run, False))]
            if not self.rehearse:
                rows.append(("PyTorch, torch.compile", 1, partial(self.ordinary, run, True)))
            rows += [
                (f"dynsweep, {name}", count, partial(self.begin, kind, self.grid(run, count)))
                for name, kind in ENGINES.items()
                for count in ((1, 64, many) if name == "triton" else (1, 64))
                if name != "triton" or not triton_missing()
            ]
            moving = replace(run, optimizer=OptimizerConfig(lr=1.0, momentum=0.9))
            many_moving = self.grid(moving, 512)
            rows.append(("dynsweep, graphed, momentum", 512,
                         partial(self.begin, GraphedSession, many_moving)))  # fmt: skip
            try:
                import peers_jax

                rows.append(("JAX, scan", 1, lambda: peers_jax.scanned([run])))  # noqa: B023
                runs = self.grid(run, 64)
                rows.append(("JAX, vmap, scan", 64, lambda: peers_jax.scanned(runs)))  # noqa: B023
            except ImportError:
                pass
            for name, count, start in rows:
                count = min(count, many)
                each = self.seconds(start()) / count * 1e6
                yield {"what": name, "H": width, "runs": count, "us per run and step": each}
            for most in self.units:
                with mock.patch("dynsweep.engines.triton.most_units", lambda *_, m=most: m):
                    advance = self.begin(TritonSession, self.grid(run, many))
                    each = self.seconds(advance) / many * 1e6
                name = f"dynsweep, triton, at most {most} units a thread"
                yield {"what": name, "H": width, "runs": many, "us per run and step": each}

    def grid(self, run: RunConfig, count: int) -> list[RunConfig]:
        count = min(count, 2) if self.rehearse else count
        return [replace(run, loss=LossConfig(period=10 + k, amplitude=5.0)) for k in range(count)]

    def ordinary(self, run: RunConfig, compile_it: bool) -> Callable[[int], None]:
        data = Batch((run,)).dataset
        inputs = torch.as_tensor(data.train_inputs, dtype=torch.float32, device=self.device)
        labels = torch.as_tensor(data.train_labels, device=self.device)
        width = run.model.width
        model: Any = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 3))
        model = model.to(self.device)
        weights = torch.tensor([1.0, 2.0, 0.5], device=self.device)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        seen = torch.compile(model) if compile_it else model

        def train(steps: int) -> None:
            for _ in range(steps):
                optimizer.zero_grad()
                losses = nn.functional.cross_entropy(seen(inputs), labels, reduction="none")
                (weights[labels] * losses).mean().backward()
                optimizer.step()

        return train

    def convolutions(self) -> Iterator[Row]:
        """Samples per second of Myrtle5, its runs on each way, beside a plain module."""
        sizes = [(2, 4, (1, 2))] if self.rehearse else [(64, 512, (1, 4)), (16, 100, (1, 8, 64))]
        for width, size, counts in sizes:
            optimizer = replace(SGD, lr=0.01, batch_size=size)
            base = RunConfig(CIFAR10Config(), Myrtle5Config(width=width), LossConfig(), optimizer)
            for precision in ("float32", "tf32", "bfloat16"):
                run = replace(base, precision=precision)
                with torch_settings(run, self.device):
                    each = self.seconds(convolutions.ordinary(1, run, self.device), 0.3)
                    plain = self.rate(each, size)
                    for count in counts:
                        runs = [replace(run, seed=seed) for seed in range(count)]
                        row: Row = {"width": width, "minibatch": size, "precision": precision,
                                    "runs": count, "module, samples/s": plain}  # fmt: skip
                        for way, streams in WAYS.items():
                            if count > 1 or streams == 0:
                                kind: Any = partial(GraphedSession, streams=streams)
                                each = self.seconds(self.begin(kind, runs), 0.3) / count
                                row[way] = self.rate(each, size)
                        yield row

    def rate(self, seconds: float, size: int) -> int | str:
        return round(size / seconds) if seconds else "-"

    def memory(self) -> Iterator[Row]:
        """What a run more adds to the peak of PyTorch's allocator, against its estimate."""
        models = {"mlp": MLPConfig(width=1000), "Myrtle5": Myrtle5Config(), **SMALL}
        for name, model in models.items():
            dataset = SpiralsConfig() if name == "mlp" else CIFAR10Config()
            size = None if name == "mlp" else 8 if self.rehearse else 512
            run = RunConfig(dataset, model, LossConfig(), replace(SGD, batch_size=size))
            peaks = [self.peak([replace(run, seed=k) for k in range(count)]) for count in (1, 4)]
            yield {"model": f"{name} {model.width}", "peak of one MB": peaks[0] / 1e6,
                   "each more MB": (peaks[1] - peaks[0]) / 3e6,
                   "estimate MB": memory(run) / 1e6}  # fmt: skip

    def peak(self, runs: list[RunConfig]) -> int:
        held = 0
        if not self.rehearse:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
        self.begin(GraphedSession, runs)(2)
        return 0 if self.rehearse else torch.cuda.max_memory_allocated() - held

    def command(self) -> Iterator[Row]:
        """The whole command, killed and gone on with; see gpu_command.py."""
        return gpu_command.rows(self.device, self.rehearse)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("section")
    parser.add_argument("file", type=Path)
    parser.add_argument("--units", type=int, nargs="*", default=[])
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        if options.rehearse:
            torch.set_num_threads(1)
            sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
            from cuda_on_cpu import cuda_on_cpu

            stack.enter_context(mock.patch("dynsweep.engines.graphed_session.STEPS", 2))
            stack.enter_context(cuda_on_cpu())
        sections = Sections(options.rehearse, options.units)
        file = stack.enter_context(options.file.open("w"))
        for row in getattr(sections, options.section)():
            file.write(json.dumps(row) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
