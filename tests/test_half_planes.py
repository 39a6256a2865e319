"""Training by half-planes: against a computation by hand, and against itself, bit for bit.

Sessions are begun directly, also where the rule would choose the dense passes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from by_hand import advance, train_by_hand
from runs import make_run as run_from

from dynsweep.config import RunConfig
from dynsweep.data.base import Dataset, DatasetConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledEngine, CompiledSession
from dynsweep.engines.devices import torch_settings
from dynsweep.engines.half_planes import HalfPlaneSession, pays
from dynsweep.engines.half_planes_points import Points, box, neighbours
from dynsweep.engines.reference import ReferenceEngine

make_run = partial(
    run_from, model__width=30, loss__period=20, loss__amplitude=20.0, steps=100,
    precision="float64",
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_settings(make_run(), "cpu"):
        yield


def trained(*runs: RunConfig, cuts: tuple[int, ...] = ()) -> HalfPlaneSession:
    session = HalfPlaneSession(Batch(runs), "cpu")
    for steps in cuts or (runs[0].steps,):
        advance(session, steps, *runs)
    return session


CASES: dict[str, dict[str, Any]] = {
    "plain": {"model__width": 100},
    "whole vectors of units": {"model__width": 32, "dataset__samples_per_class": 64},
    "many points": {"dataset__samples_per_class": 700, "steps": 40},
    "one point to a class": {"dataset__samples_per_class": 1, "model__init": "glorot"},
    "two classes": {"dataset__classes": 2, "model__width": 7},
    "five classes, no biases": {
        "dataset__classes": 5, "model__bias": False, "dataset__samples_per_class": 31,
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_a_computation_by_hand(case: str) -> None:
    run = make_run(**CASES[case])
    weights, expected = trained(run).weights(), train_by_hand(run)
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        size = np.abs(value).max()
        np.testing.assert_allclose(weights[name][0], value, rtol=1e-9, atol=1e-9 * size)


def test_float32_to_rounding() -> None:
    run = make_run(precision="float32", steps=10, model__width=100)
    weights = trained(run).weights()
    for name, value in train_by_hand(run).items():
        assert weights[name].dtype == np.float32
        np.testing.assert_allclose(weights[name][0], value, rtol=1e-4, atol=1e-5)


@dataclass(unsafe_hash=True)
class Drawn(DatasetConfig):
    """Points of ``inputs`` coordinates; or in the plane, all on a few lines through others."""

    name: str = "drawn"
    inputs: int = 1

    def load(self) -> Dataset:
        rng = np.random.default_rng(0)
        if self.inputs == 1:
            points = rng.uniform(-1, 1, (150, 1))
            labels = (np.sin(6 * points[:, 0]) > 0).astype(np.int64)
        else:
            points = rng.integers(-2, 3, (900, self.inputs)) * np.eye(self.inputs)[0]
            points[::3] = points[::3, ::-1]
            labels = np.arange(900) % 2
        return Dataset(points, labels, points, labels, classes=2)


@pytest.mark.parametrize("inputs", [1, 2])
def test_of_one_input_and_of_points_that_coincide(inputs: int) -> None:
    """Points at the origin, on the very line of every unit while biases are 0, are off."""
    run = replace(make_run(), dataset=Drawn(inputs=inputs))
    reference = ReferenceEngine().begin(Batch((run,)), "cpu")
    advance(reference, run.steps, run)
    expected = reference.weights()
    for name, value in trained(run).weights().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-10)


def test_neither_company_threads_chunks_nor_a_restart_change_a_bit() -> None:
    runs = [
        make_run(
            precision="float32", seed=k, loss__period=5 + k, optimizer__lr=0.5 + 0.1 * k,
            steps=150, model__width=100, engine__threads=2,
        )
        for k in range(5)
    ]  # fmt: skip
    whole = trained(*runs).weights()
    alone = replace(runs[3], engine=replace(runs[3].engine, threads=1))
    apart = trained(alone, cuts=(1, 0, 2, 47))
    restored = HalfPlaneSession(Batch((alone, runs[0])), "cpu")
    state = {name: np.concatenate([value] * 2) for name, value in apart.state().items()}
    restored.restore(50, state)
    apart.metrics()
    for session, of in ((apart, [alone]), (restored, [alone, runs[0]])):
        advance(session, 100, *of)
        for name, value in session.weights().items():
            assert np.array_equal(value[0], whole[name][3])


def test_goes_on_from_a_state_of_the_dense_path() -> None:
    """Another version or processor may have chosen that one."""
    run = make_run(model__bias=False)
    first = CompiledSession(Batch((run,)), "cpu")
    advance(first, 50, run)
    second = HalfPlaneSession(Batch((run,)), "cpu")
    second.restore(50, first.state())
    for name, value in second.weights().items():
        assert np.array_equal(value, first.weights()[name])
    assert all(np.array_equal(second.state()[k], value) for k, value in first.state().items())


@pytest.mark.parametrize("nesterov", [False, True])
def test_with_momentum_and_weight_decay(nesterov: bool) -> None:
    """As the reference engine; and another, or a run without, is none of its company's."""
    changes = {"optimizer__nesterov": nesterov, "steps": 60}
    moving = make_run(optimizer__momentum=0.8, optimizer__weight_decay=0.01, **changes)
    other = make_run(seed=1, optimizer__momentum=0.5 if nesterov else 0.0, **changes)
    weights = trained(moving, other, cuts=(20, 40)).weights()
    reference = ReferenceEngine().begin(Batch((moving,)), "cpu")
    advance(reference, 60, moving)
    alone = trained(other).weights()
    for name, value in reference.weights().items():
        np.testing.assert_allclose(weights[name][:1], value, rtol=1e-9, atol=1e-10)
        assert np.array_equal(weights[name][1], alone[name][0])


def test_measures_what_the_dense_path_measures() -> None:
    run = make_run(steps=1)
    halves, dense = trained(run), CompiledSession(Batch((run,)), "cpu")
    advance(dense, 1, run)
    for name, value in dense.metrics().items():
        np.testing.assert_allclose(halves.metrics()[name], value, rtol=1e-12)


def test_a_run_that_diverges_is_seen_to_and_leaves_others_alone() -> None:
    tame = make_run(precision="float32", steps=60, model__width=100)
    wild = replace(tame, optimizer=replace(tame.optimizer, lr=1e30))
    session = trained(wild, tame)
    weights, metrics = session.weights(), session.metrics()
    assert not all(np.isfinite(value[0]).all() for value in weights.values())
    assert not np.isfinite(metrics["train_loss"][0])
    for name, value in trained(tame).weights().items():
        assert np.array_equal(value[0], weights[name][1])


@pytest.mark.parametrize("count", [1, 15, 16, 17, 300, 3000])
def test_groups_hold_every_point_once(count: int) -> None:
    points = np.random.default_rng(1).normal(size=(count, 2))
    parts = neighbours(points, 8)
    groups = [group for part in parts for group in part]
    assert sorted(np.concatenate(groups)) == list(range(count))
    assert all(len(part) <= 8 for part in parts)
    assert [len(group) for group in groups[:-1]] == [8] * (len(groups) - 1)


def test_fillers_count_nothing() -> None:
    run = make_run(dataset__samples_per_class=11)
    points = Points.of(Batch((run,)).dataset, np.dtype("float32"), 8)
    assert len(points.labels) % 16 == 0  # whole vectors of 64 bytes
    assert points.shares.sum() == pytest.approx(1)
    assert np.count_nonzero(points.shares) == 33


def test_what_a_box_says_holds_at_every_point() -> None:
    """In float32 and far from the origin, where rounding counts; sums in either order."""
    rng = np.random.default_rng(2)
    points = (rng.normal(size=(16, 2)) * 1e-3 + [30, -70]).astype("float32")
    w = rng.normal(size=(20_000, 2)).astype("float32")
    bias = -(w @ points.mean(axis=0)) + rng.normal(size=len(w)) * 3e-3
    (cx, cy, hx, hy), bias = box(points), bias.astype("float32")
    centre = cx * w[:, 0] + (cy * w[:, 1] + bias)
    reach = hx * np.abs(w[:, 0]) + hy * np.abs(w[:, 1])
    at = points[:, 0] * w[:, :1] + (points[:, 1] * w[:, 1:] + bias[:, None])
    on, off = centre > reach, centre < -reach
    assert min(on.mean(), off.mean()) > 0.1
    assert (at[on] > 0).all()
    assert (at[off] < 0).all()


def test_is_taken_where_it_pays() -> None:
    assert pays(make_run(model__width=100))
    assert isinstance(CompiledEngine().begin(Batch((make_run(model__width=100),)), "cpu"),
                      HalfPlaneSession)  # fmt: skip
    for changes in ({"model__width": 8}, {"samples_per_class": 5}, {"dataset__classes": 6}):
        assert not pays(make_run(**changes))
    three = Drawn(inputs=3)
    object.__setattr__(
        three, "load", lambda: Dataset(*[np.zeros((900, 3)), np.zeros(900, int)] * 2, 2)
    )
    assert not pays(replace(make_run(model__width=100), dataset=three))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_agrees_on_a_processor_without_avx512(precision: str, tmp_path: Any) -> None:
    program = (
        "from test_half_planes import *;"
        f"run = make_run(model__width=37, precision={precision!r}, steps=20);"
        "weights, expected = trained(run).weights(), train_by_hand(run);"
        "print(max(np.abs(weights[k][0] - expected[k]).max() for k in expected))"
    )
    haswell = {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+bmi,+bmi2",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(["tests", *sys.path]),
    }
    printed = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | haswell, check=True, capture_output=True
    ).stdout
    assert float(printed) < (1e-5 if precision == "float32" else 1e-13)
