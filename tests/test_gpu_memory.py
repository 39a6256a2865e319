"""Memory: what is released when it runs out, what a run is taken to need, what counts as free."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from by_hand import advance
from cuda_on_cpu import cuda_on_cpu
from torch.profiler import ProfilerActivity, profile

from dynsweep.analysis.frame import load_frame
from dynsweep.config import Run, RunConfig
from dynsweep.engines import graphed, graphed_session
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import SHARERS, available_memory
from dynsweep.engines.faults import short_of_memory
from dynsweep.engines.graphed_session import GraphedSession
from dynsweep.engines.reference import AMPLE, ReferenceSession, memory
from dynsweep.engines.triton import TritonEngine
from dynsweep.errors import DeviceLost
from dynsweep.sweep import teams
from dynsweep.sweep.runner import run_sweep
from dynsweep.training import probe
from dynsweep.training.probe import Probe

Make = Callable[..., RunConfig]


def test_what_ran_out_of_memory_is_released_before_its_halves_train(
    make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After captures too, and though no collector runs by itself."""
    held: list[weakref.ref[ReferenceSession]] = []
    alive: list[int] = []
    take = GraphedSession.take

    def tight(self: GraphedSession, steps: int) -> None:
        take(self, steps)
        if self.runs > 2 and steps == 4:
            raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")

    class Session(GraphedSession):
        def __init__(self, *arguments: Any) -> None:
            alive.append(sum(one() is not None for one in held))
            super().__init__(*arguments)
            held.append(weakref.ref(self))

    monkeypatch.setattr(graphed_session, "STEPS", 4)  # which only a capture takes at once
    monkeypatch.setattr(GraphedSession, "take", tight)
    monkeypatch.setattr("dynsweep.engines.reference.ReferenceEngine.session", Session)
    gc.disable()
    grid = [
        Run(k, [], make_run(steps=10, width=8, seed=k, engine__name="reference")) for k in range(8)
    ]
    try:
        with cuda_on_cpu():
            run_sweep(grid, tmp_path)
    finally:
        gc.enable()
    assert (load_frame([tmp_path])["status"] == "completed").all()
    assert len(alive) == 1 + 2 * 3
    assert max(alive) == 0


SHORT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    MemoryError(),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"
    ),
    RuntimeError("Triton Error [CUDA]: out of memory"),
]


@pytest.mark.parametrize("error", SHORT)
def test_words_for_too_little_memory(error: Exception) -> None:
    assert short_of_memory(error)
    ended = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    assert not short_of_memory(ended)
    ended.__context__ = error
    assert short_of_memory(ended)


def test_a_device_that_answers_no_more_ends_the_process(
    make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is recorded of runs that are not known to be at fault. (This build of PyTorch has
    no CUDA to answer.)"""
    monkeypatch.setattr(teams, "resolve_device", lambda setting: "cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**34, 2**34))

    def broken(*_: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(graphed.GraphedEngine, "session", broken)
    grid = [Run(k, [], make_run(seed=k, engine__name="graphed")) for k in range(4)]
    with pytest.raises(DeviceLost, match="no longer be used by this process: RuntimeError: CUDA"):
        run_sweep(grid, tmp_path)
    assert not [*tmp_path.glob("runs/*")]


def peak(run: RunConfig) -> int:
    """Bytes that two steps of a run held at a time, of those that PyTorch allocated."""
    batch = Batch((run,))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        session = ReferenceSession(batch, "cpu")
        inputs = session.train.inputs.nbytes
        advance(session, 2, run)
    events: Any = seen.profiler.kineto_results.events()
    changes = sorted((one.start_ns(), one.nbytes()) for one in events if one.name() == "[memory]")
    held = most = 0
    for _, size in changes:
        held += size
        most = max(most, held)
    return most - (inputs if session.train.scale is None else 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"width": 100},
        {"width": 1000, "precision": "float64"},
        {"width": 300, "batch_size": 150, "momentum": 0.9},
        {"model": "myrtle5", "width": 16},
        {"model": "myrtle5", "width": 4},
        {"model": "wide_resnet", "width": 8, "depth": 10, "widen": 2},
    ],
)
def test_a_run_takes_about_the_memory_that_is_estimated(
    make_run: Make, images: str, settings: dict[str, Any]
) -> None:
    if "model" in settings:
        settings = {"dataset": "cifar10", "root": images, "batch_size": 25, **settings}
    run = make_run(**settings, steps=2)
    assert 0.8 < memory(run) / AMPLE / peak(run) < 1.5


def test_curvature_of_slices_is_that_of_the_whole(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(width=10, precision="float64", steps=20)
    session = ReferenceSession(Batch((run, run)), "cpu")
    advance(session, 10, run, run)
    whole, sliced = Probe(Batch((run, run)), "cpu"), Probe(Batch((run, run)), "cpu")
    g = torch.tensor([[1.0, 0.5, 1.5]] * 2, dtype=torch.float64)
    whole.load(session)
    expected = whole.sharpness(g, order=10)
    monkeypatch.setattr(probe, "KEPT", 1)
    sliced.load(session)
    assert len(sliced._slices(sliced.samples["train"], probe.KEPT)) == 19
    found = sliced.sharpness(g, order=10)
    torch.testing.assert_close(found.values, expected.values, rtol=1e-9, atol=0)


def test_free_memory_of_a_gpu(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what PyTorch keeps unused; at most an even share of it."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 * 2**30, 16 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5 * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2**30)
    assert available_memory("cuda") == 7 * 2**30
    plain, engine = make_run(width=1000), TritonEngine()
    assert engine.batch_size(plain, "cuda") == 4096
    curved = make_run(width=1000, observe__ntk__every=5)
    each = 2 * 50 * 3 * 6003 * 4  # two Jacobians of 50 samples and 3 classes
    assert engine.batch_size(curved, "cuda") == 7 * 2**29 // each
    monkeypatch.setenv(SHARERS, "4")
    assert available_memory("cuda") == 4 * 2**30
