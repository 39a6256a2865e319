"""The code of CUDA on the CPU: what graphs capture and replay, bit for bit with the reference."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import advance
from cuda_on_cpu import Capture, Graph, cuda_on_cpu

from dynsweep.config import RunConfig, ScheduleConfig
from dynsweep.engines import batches, graphed, graphed_session, reference
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import torch_settings
from dynsweep.engines.graphed import GraphedEngine, MeasuredSession
from dynsweep.engines.graphed_session import GraphedSession
from dynsweep.engines.reference import ReferenceSession

Make = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def emulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With graphs and tables so short that few steps need several."""
    monkeypatch.setattr(graphed_session, "ROWS", 17)
    monkeypatch.setattr(graphed_session, "STEPS", 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with cuda_on_cpu():
        yield
    torch.set_num_threads(threads)


MOVING = {"lr": 0.1, "momentum": 0.9}
SMALL = {"batch_size": 15, **MOVING}  # of 75 samples: five minibatches an epoch
SCHEDULES = {
    name: {**SMALL, "schedule": ScheduleConfig(name, warmup=0.2, milestones=(0.5,))}
    for name in ("constant", "linear", "cosine", "piecewise")
}
CASES: dict[str, dict[str, Any]] = {
    **SCHEDULES,
    "sharpness": {"schedule": ScheduleConfig("sharpness", every=15)},
    "plain": {},
    "float64": {"precision": "float64"},
    "no biases": {"bias": False},
    "notebook counting": {"counting": "notebook", "static_end": 0.3},
    "mean squared error": {"loss__name": "mean_squared_error"},
    "momentum": MOVING,
    "Nesterov": {**MOVING, "nesterov": True, "weight_decay": 0.01},
    "minibatches": SMALL,
    "minibatches, float64": {**SMALL, "precision": "float64"},
    "minibatches, error": {**SMALL, "loss__name": "mean_squared_error"},
    "bfloat16": {**SMALL, "precision": "bfloat16"},
    "tf32": {**SMALL, "precision": "tf32"},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "myrtle5": {"width": 3},
    "wide_resnet": {"width": 1, "depth": 10, "widen": 2},
}


def same(ours: ReferenceSession, exact: ReferenceSession) -> bool:
    pairs = zip(ours.tensors().items(), exact.tensors().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def compare(make_run: Make, settings: dict[str, Any], cuts: list[int]) -> None:
    """Replays in chunks, and on from a state, against the reference engine's steps."""
    runs = [make_run(**settings, period=5 + 2 * k, seed=k) for k in range(3)]
    batch, steps = Batch(tuple(runs)), sum(cuts)
    replayed, again, exact = (
        kind(batch, "cpu") for kind in (GraphedSession, GraphedSession, ReferenceSession)
    )
    for cut in cuts[:-1]:
        advance(replayed, cut, *runs)
    again.restore(replayed.step, replayed.state())
    for session in (replayed, again):
        advance(session, cuts[-1], *runs)
        assert session.step == session.clock == steps
    advance(exact, steps, *runs)
    assert same(replayed, exact)
    assert same(again, exact)


@pytest.mark.parametrize("case", CASES)
def test_replays_are_the_reference_engine_bit_for_bit(make_run: Make, case: str) -> None:
    """Across epochs, rows of the tables, chunks of steps, graphs of one and of several steps."""
    settings = {"width": 20, "samples_per_class": 25, "steps": 45, **CASES[case]}
    compare(make_run, settings, [1, 17, 18, 9] if case != "sharpness" else [15, 15, 15])


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("model", NETWORKS)
def test_convolutions_and_augmented_images_too(
    make_run: Make, images: str, model: str, precision: str
) -> None:
    settings = {
        "dataset": "cifar10", "root": images, "augment": True, "model": model, **NETWORKS[model],
        "batch_size": 10, "steps": 7, "nesterov": True, "precision": precision, **MOVING,
        "schedule": ScheduleConfig("cosine"),
    }  # fmt: skip
    compare(make_run, settings, [1, 3, 3])


@pytest.mark.parametrize("streams", [1, 2, 8])
def test_side_by_side_each_run_is_what_it_is_alone(
    make_run: Make, images: str, streams: int
) -> None:
    settings = {
        "dataset": "cifar10", "root": images, "augment": True, "model": "wide_resnet",
        **NETWORKS["wide_resnet"], "batch_size": 10, "steps": 8, "momentum": 0.9,
    }  # fmt: skip
    runs = [make_run(**settings, period=5 + 2 * k, seed=k, lr=0.1 + 0.1 * k) for k in range(3)]
    replayed, again = (GraphedSession(Batch(tuple(runs)), "cpu", streams) for _ in range(2))
    advance(replayed, 5, *runs)
    again.restore(replayed.step, replayed.state())
    advance(again, 3, *runs)
    for k, run in enumerate(runs):
        alone = ReferenceSession(Batch((run,)), "cpu")
        advance(alone, 8, run)
        for name, value in alone.weights().items():
            assert np.array_equal(again.weights()[name][k : k + 1], value)
    assert all(part.train is again.parts[0].train for part in again.parts)


def test_the_fastest_way_is_measured_once_and_kept_by_who_goes_on(
    make_run: Make,
    images: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(graphed, "MEASURED", {})
    monkeypatch.setattr(graphed, "MEASURING", 0.0)
    tried: list[int] = []

    def seconds(session: GraphedSession) -> float:
        tried.append(session.streams)
        if not session.streams:
            raise RuntimeError("CUDA out of memory")
        return float(session.streams)

    settings = {"dataset": "cifar10", "root": images, "model": "myrtle5", "width": 2, "steps": 6}
    runs = [make_run(**settings, batch_size=10, seed=seed, lr=0.1) for seed in range(2)]
    batch = Batch(tuple(runs))
    with monkeypatch.context() as patch:
        patch.setattr(graphed, "_seconds", seconds)
        session, other = (GraphedEngine().begin(batch, "cpu") for _ in range(2))
        advance(session, 3, *runs)
        advance(other, 6, *runs)
    assert tried == [0, 1, 8]
    assert "go one after the other: ms of a run and step, fused inf" in caplog.text
    graphed.MEASURED.clear()
    graphed.MEASURED.update(dict.fromkeys(graphed.MEASURED, 0))
    on = MeasuredSession(batch, "cpu")
    on.restore(3, session.state())
    advance(on, 3, *runs)
    assert (on.session.streams, on.step) == (1, 6)
    for name, value in other.weights().items():
        assert np.array_equal(on.weights()[name], value)
    # What is measured trains nothing and can be run.
    fresh = GraphedSession(batch, "cpu", 1)
    before = fresh.weights()
    assert graphed._seconds(fresh) > 0
    assert all(np.array_equal(value, before[name]) for name, value in fresh.weights().items())


def test_the_precision_is_the_one_asked_for(make_run: Make) -> None:
    """Else the emulation would show nothing of bfloat16."""
    ends = []
    for precision in ("float32", "bfloat16"):
        run = make_run(precision=precision, steps=1)
        session = GraphedSession(Batch((run,)), "cpu")
        advance(session, 1, run)
        ends.append(session.weights()["w2"])
    assert 0 < np.abs(ends[0] - ends[1]).max() < 0.1


@pytest.mark.parametrize(
    "step",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x[x.argmax()],
        lambda x: x.nonzero(),
        lambda x: torch.equal(x, x + 1),
        lambda x: x * torch.tensor([1.0, 2.0, 3.0]),
        lambda x: x + torch.randn(3),
        lambda x: float(x[0]),
    ],
)
def test_what_a_capture_forbids_raises(step: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(RuntimeError, match="stream is capturing"), Capture(Graph()):
        step(torch.arange(3.0))


def test_a_graph_replays_into_the_memory_that_it_captured() -> None:
    graph, x = Graph(), torch.ones(3)
    with Capture(graph):
        y = (x + 1)[1:]
        x *= 2
    assert (x.tolist(), y.tolist()) == ([2.0] * 3, [2.0] * 2)
    graph.replay()
    assert (x.tolist(), y.tolist()) == ([4.0] * 3, [3.0] * 2)


def test_cudnn_is_deterministic_while_a_run_trains_on_cuda(make_run: Make) -> None:
    with torch_settings(make_run(precision="tf32"), "cuda"):
        assert torch.backends.cudnn.deterministic
        assert torch.backends.cudnn.allow_tf32
    assert not torch.backends.cudnn.deterministic


def test_initial_weights_are_drawn_once_for_each_seed(make_run: Make) -> None:
    """And are those of each run alone."""
    seeds = [3, 0, 3, 7, 0]
    batch = Batch(tuple(make_run(seed=seed) for seed in seeds))
    stacked = batch.initial_weights()
    for place, seed in enumerate(seeds):
        for name, value in batch.model.init(seed).items():
            assert torch.equal(stacked[name][place], value)


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_a_section_of_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing import would waste a GPU's time; the slow test takes all of them."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    for module in (batches, reference):
        monkeypatch.setattr(module, "load", module.load)  # replaced by the benchmark
    gpu_sections = importlib.import_module("gpu_sections")
    assert len([*gpu_sections.Sections(True, []).memory()]) == 4


@pytest.mark.slow
def test_the_whole_benchmark_rehearsed(tmp_path: Path) -> None:
    """Every section in its process; all that is measured agrees, and nothing is a time."""
    command = [sys.executable, BENCHMARKS / "gpu.py", "--rehearse", "--output", tmp_path / "gpu"]
    if importlib.util.find_spec("triton"):
        command += ["--units", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found) == ["correct", "simple", "convolutions", "memory", "command"]
    assert all(row["agrees"] for row in found["correct"]["rows"])
    assert found["command"]["rows"][-1]["same to the bit"]
    assert (tmp_path / "gpu.md").read_text().count("## ") == len(found)
