"""The compiled engine against the reference engine, and against itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dynsweep.config import (
    EngineConfig,
    LossConfig,
    MLPConfig,
    OptimizerConfig,
    RunConfig,
    SpiralsConfig,
)
from dynsweep.engines import choose
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledEngine, CompiledSession, _aligned
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.training.driver import train


@pytest.fixture(autouse=True)
def one_thread_for_the_reference() -> Iterator[None]:
    """Its matrices are too small for more; threads that wait for each other take minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_run(width: int = 100, samples: int = 100, classes: int = 3, **changes: Any) -> RunConfig:
    """A run of the spirals; ``changes`` go to the part of the config that has the setting."""
    run = RunConfig(
        SpiralsConfig(classes=classes, samples_per_class=samples, validation_samples_per_class=37),
        MLPConfig(width=width),
        LossConfig(period=20),
        OptimizerConfig(),
        steps=100,
        precision="float64",
    )
    for name, value in changes.items():
        parts = [key for key in ("model", "loss", "optimizer") if name in vars(getattr(run, key))]
        if parts:
            name, value = parts[0], replace(getattr(run, parts[0]), **{name: value})
        run = replace(run, **{name: value})
    return run


def several(**changes: Any) -> Batch:
    """Three runs that differ in everything that may differ within a batch."""
    different = [
        {"period": 20, "amplitude": 20.0, "lr": 1.0, "seed": 0},
        {"period": 31, "amplitude": 1.0, "lr": 0.3, "seed": 1},
        {"period": 1, "amplitude": 5.0, "lr": 0.9, "seed": 2},
    ]
    return Batch(tuple(make_run(**{**one, **changes}) for one in different))


def trained(batch: Batch, steps: int = 100, chunk: int = 100) -> CompiledSession:
    session = CompiledEngine().begin(batch, "cpu")
    while session.step < steps:
        session.advance(min(chunk, steps - session.step))
    return session


def same_weights(a: CompiledSession, b: CompiledSession, run_a: int = 0, run_b: int = 0) -> bool:
    ours, theirs = a.weights(), b.weights()
    return all(np.array_equal(ours[name][run_a], theirs[name][run_b]) for name in ours)


CASES: dict[str, dict[str, Any]] = {
    "width 1": {"width": 1, "init": "glorot"},
    "width 7, two classes": {"width": 7, "classes": 2},
    "width 100": {},
    "five classes of 33": {"width": 33, "classes": 5, "samples": 33},
    "width 333": {"width": 333, "samples": 41},
    "nine classes": {"width": 10, "classes": 9, "samples": 9},
    "no biases": {"bias": False},
    "glorot": {"init": "glorot"},
    "notebook counting": {"counting": "notebook"},
    "no static period": {"last_period_static": False},
    "one sample to a class": {"samples": 1},
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_reference_engine_over_100_steps(case: str) -> None:
    batch = several(**CASES[case])
    reference, session = ReferenceEngine().begin(batch, "cpu"), trained(batch, 0)
    for name, value in reference.weights().items():
        np.testing.assert_array_equal(session.weights()[name], value)
    reference.advance(100)
    session.advance(100)
    for name, value in reference.weights().items():
        ours = session.weights()[name]
        assert ours.shape == value.shape
        assert ours.dtype == value.dtype
        np.testing.assert_allclose(ours, value, rtol=1e-9, atol=1e-9 * np.abs(value).max())
    for name, expected in vars(reference.evaluate()).items():
        np.testing.assert_allclose(getattr(session.evaluate(), name), expected, rtol=1e-9)


def test_agrees_with_the_reference_engine_in_float32() -> None:
    batch = several(precision="float32")
    reference, session = ReferenceEngine().begin(batch, "cpu"), trained(batch, 10)
    reference.advance(10)
    for name, value in reference.weights().items():
        assert session.weights()[name].dtype == np.float32
        np.testing.assert_allclose(session.weights()[name], value, rtol=1e-4, atol=1e-5)
    for name, expected in vars(reference.evaluate()).items():
        np.testing.assert_allclose(getattr(session.evaluate(), name), expected, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_neither_company_nor_threads_nor_chunks_change_a_bit(precision: str) -> None:
    def runs(count: int, **changes: Any) -> tuple[RunConfig, ...]:
        return tuple(
            make_run(30, period=20 + 3 * i, seed=i, lr=1 / (i + 1), precision=precision, **changes)
            for i in range(count)
        )

    alone = trained(Batch(runs(1)), 300, 300)
    assert same_weights(alone, trained(Batch(runs(2)), 300, 300))
    assert same_weights(alone, trained(Batch(runs(64)), 300, 7))
    one, two = (
        trained(Batch(runs(64, engine=EngineConfig(threads=n))[::-1]), 300, 60) for n in (1, 2)
    )
    assert (one.threads, two.threads) == (1, 2)
    assert all(same_weights(one, two, i, i) for i in range(64))
    assert same_weights(alone, two, 0, 63)
    for name, value in vars(alone.evaluate()).items():
        assert value[0] == getattr(two.evaluate(), name)[63]


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_diverging_run_leaves_the_others_alone(precision: str) -> None:
    tame = make_run(steps=400, precision=precision)
    wild = replace(
        tame, optimizer=OptimizerConfig(lr={"float32": 1e30, "float64": 1e300}[precision])
    )
    session = trained(Batch((wild, tame, wild)), 400)
    for run in (0, 2):
        assert not all(np.isfinite(value[run]).all() for value in session.weights().values())
    assert same_weights(session, trained(Batch((tame,)), 400), 1, 0)
    metrics = session.evaluate()
    assert not np.isfinite(metrics.train_loss[0])
    assert metrics.train_accuracy[0] < 0.4
    assert np.isfinite(metrics.train_loss[1])


def test_goes_on_from_a_state() -> None:
    batch = several()
    first, second = trained(batch, 40), trained(batch, 0)
    second.restore(40, first.state())
    second.advance(60)
    assert same_weights(second, trained(batch))


def test_evaluation_between_steps_changes_nothing() -> None:
    batch = several()
    session = trained(batch, 0)
    for _ in range(20):
        session.evaluate()
        session.advance(5)
    assert same_weights(session, trained(batch))


def test_is_chosen_for_the_simple_model_on_the_cpu() -> None:
    assert choose(make_run(), "cpu").name == "compiled"
    engine = CompiledEngine()
    assert "CPU" in str(engine.obstacle(make_run(), "cuda"))
    assert "classes" in str(engine.obstacle(make_run(classes=500), "cpu"))
    assert engine.batch_size(make_run(steps=35000), "cpu") >= 64
    assert engine.batch_size(make_run(10**9), "cpu") == 1


@pytest.mark.parametrize(("precision", "ulps"), [("float32", 1.5), ("float64", 1.5)])
def test_the_exponential_is_accurate(precision: str, ulps: float) -> None:
    exponential = pytest.importorskip("numba").njit(_exponential())
    low = {"float32": -69, "float64": -600}[precision]
    x = np.concatenate([np.linspace(low, 0, 200_001), -np.logspace(-30, 1, 100_000)])
    values = _aligned(-(-len(x) // 16) * 16, precision)
    values[: len(x)] = x
    exact = np.exp(values.astype(np.longdouble))
    exponential(values)
    spacing = np.spacing(exact.astype(precision)).astype(np.longdouble)
    assert float((np.abs(values - exact) / spacing).max()) < ulps

    special = _aligned(16, precision)
    special[:4] = 0, -np.inf, np.nan, low * 1.01
    exponential(special)
    np.testing.assert_array_equal(special[:4], [1, 0, np.nan, 0])


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
                vectors.store(vectors.exp(vectors.load(data, offset)), data, offset)
                return carried

            vectors.over_samples(samples, [], body)
            return context.get_dummy_value()

        return types.void(arguments), generate

    def exponential(values):  # type: ignore[no-untyped-def]
        emit((values, len(values)))

    return exponential


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    program = (
        "from test_compiled_engine import *; session = trained(several(), 1); session.evaluate();"
        "print([sum(f.stats.cache_misses.values()) for f in (session._train, session._measure)])"
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
        make_run(precision="float32", steps=10_000, period=period, amplitude=amplitude, seed=seed)
        for period, amplitude in cells
        for seed in range(8)
    ]
    outcomes = [
        train(Batch(tuple(runs)), engine, "cpu").metrics
        for engine in (CompiledEngine(), ReferenceEngine())
    ]
    for name in ("train_accuracy", "validation_accuracy"):
        ours, theirs = (getattr(metrics, name).reshape(len(cells), 8) for metrics in outcomes)
        assert np.ptp(ours.mean(axis=1)) > 0.15  # a diagram with something in it
        error = np.sqrt(ours.var(axis=1, ddof=1) / 8 + theirs.var(axis=1, ddof=1) / 8)
        t = (ours.mean(axis=1) - theirs.mean(axis=1)) / np.maximum(error, 0.002)
        assert np.abs(t).max() < 4, t
        assert abs(t.sum()) / len(cells) ** 0.5 < 3.5, t
