"""The compiled engine: threads, machine code, and what float32 does to phase diagrams.

What it shares with the others is in ``test_engines``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import advance
from runs import make_run as run_from

from dynsweep.engines import choose
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledEngine
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.training.driver import train
from dynsweep.training.probe import Probe

make_run = partial(run_from, loss__period=20, steps=100, precision="float64")


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_threads_change_no_bit(precision: str) -> None:
    sessions = []
    for threads in (1, 2):
        runs = [
            make_run(
                model__width=30, loss__period=20 + 3 * k, seed=k, precision=precision,
                engine__threads=threads,
            )
            for k in range(64)
        ]  # fmt: skip
        session = CompiledEngine().begin(Batch(tuple(runs)), "cpu")
        advance(session, 60, *runs)
        assert session.threads == threads
        sessions.append(session)
    one, two = sessions
    for name, value in one.weights().items():
        assert np.array_equal(value, two.weights()[name])
    for name, value in one.metrics().items():
        assert np.array_equal(value, two.metrics()[name])


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_its_own_metrics_are_the_common_ones(precision: str) -> None:
    """It measures accuracy and loss itself, as that is faster."""
    batch = Batch(tuple(make_run(seed=seed, precision=precision) for seed in range(3)))
    session, probe = CompiledEngine().begin(batch, "cpu"), Probe(batch, "cpu")
    advance(session, 100, *batch.runs)
    probe.load(session)
    common = probe.metrics()
    assert session.metrics().keys() == common.keys()
    for name, value in session.metrics().items():
        np.testing.assert_allclose(value, common[name], rtol=1e-6 if "32" in precision else 1e-12)


def test_is_chosen_for_the_simple_model_on_the_cpu() -> None:
    assert choose(make_run(), "cpu").name == "compiled"
    engine = CompiledEngine()
    assert "CPU" in str(engine.obstacle(make_run(), "cuda"))
    assert "classes" in str(engine.obstacle(make_run(dataset__classes=500), "cpu"))
    assert engine.batch_size(make_run(steps=35000), "cpu") >= 64
    assert engine.batch_size(make_run(model__width=10**9), "cpu") == 1


@pytest.mark.parametrize(("precision", "ulps"), [("float32", 1.5), ("float64", 1.5)])
def test_the_exponential_is_accurate(precision: str, ulps: float) -> None:
    exponential = pytest.importorskip("numba").njit(_exponential())
    low = {"float32": -69, "float64": -600}[precision]
    x = np.concatenate([np.linspace(low, 0, 200_001), -np.logspace(-30, 1, 100_000)])
    values = whole_vectors(x, precision)
    exact = np.exp(values.astype(np.longdouble))
    exponential(values)
    spacing = np.spacing(exact.astype(precision)).astype(np.longdouble)
    assert float((np.abs(values - exact) / spacing).max()) < ulps

    special = whole_vectors([0, -np.inf, np.nan, low * 1.01], precision)
    exponential(special)
    np.testing.assert_array_equal(special[:4], [1, 0, np.nan, 0])


def whole_vectors(values: Any, precision: str) -> Any:
    """Padded with zeros, and in memory of PyTorch's, which starts at a whole vector."""
    padded = np.pad(np.array(values, precision), (0, -len(values) % 16))
    array = torch.as_tensor(padded).clone().numpy()
    assert array.ctypes.data % 64 == 0
    return array


def _exponential() -> Any:
    from numba import types
    from numba.extending import intrinsic

    from dynsweep.engines.compiled_vectors import Vectors

    @intrinsic
    def emit(context: Any, arguments: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vectors = Vectors(context, builder, arguments)
            data, samples = vectors.plain(arguments, args[0])

            def body(offset: Any, carried: list[Any]) -> list[Any]:
                vectors.store(vectors.exp(vectors.load(data, offset))[0], data, offset)
                return carried

            vectors.over_samples(samples, [], body)
            return context.get_dummy_value()

        return types.void(arguments), generate

    def exponential(values):  # type: ignore[no-untyped-def]
        emit((values, len(values)))

    return exponential


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    program = (
        "from test_compiled_engine import *; run = make_run(steps=1);"
        "session = CompiledEngine().begin(Batch((run,)), 'cpu');"
        "advance(session, 1, run); session.metrics();"
        "functions = session._trains[0], session._measure;"
        "print([sum(f.stats.cache_misses.values()) for f in functions])"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": "tests"}
    printed = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True
        ).stdout.decode()
        for _ in range(2)
    ]
    assert [line.strip() for line in printed] == ["[1, 1]", "[0, 0]"]


@pytest.mark.slow
def test_phase_diagrams_in_float32_are_equal_within_seed_noise() -> None:
    """Trajectories part after a hundred steps; what the two engines find must not.

    The static loss and four dynamical ones of eight seeds: Welch's t of every cell, and of all
    cells together, within what chance allows.
    """
    cells = [(1, 1.0), (200, 10.0), (200, 40.0), (1000, 10.0), (1000, 40.0)]
    runs = [
        make_run(
            precision="float32",
            steps=10_000,
            seed=seed,
            loss__period=period,
            loss__amplitude=amplitude,
        )
        for period, amplitude in cells
        for seed in range(8)
    ]
    outcomes = [
        train(Batch(tuple(runs)), engine, "cpu").metrics
        for engine in (CompiledEngine(), ReferenceEngine())
    ]
    for name in ("train_accuracy", "validation_accuracy"):
        ours, theirs = (metrics[name].reshape(len(cells), 8) for metrics in outcomes)
        assert np.ptp(ours.mean(axis=1)) > 0.15  # a diagram with something in it
        error = np.sqrt(ours.var(axis=1, ddof=1) / 8 + theirs.var(axis=1, ddof=1) / 8)
        t = (ours.mean(axis=1) - theirs.mean(axis=1)) / np.maximum(error, 0.002)
        assert np.abs(t).max() < 4, t
        assert abs(t.sum()) / len(cells) ** 0.5 < 3.5, t
