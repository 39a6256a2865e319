"""What every engine keeps, whatever it is made of: the contract of ``Session`` and ``Engine``."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import make_dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import evaluate_by_hand, train_by_hand
from cuda_on_cpu import cuda_on_cpu
from runs import make_run as run_from

from dynsweep import settings
from dynsweep.config import LossConfig
from dynsweep.config.run import settings_of
from dynsweep.engines import ENGINES, Engine, Session, _readers, choose, group
from dynsweep.engines.base import unlisted
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import torch_settings
from dynsweep.engines.triton import TritonEngine, interpreted
from dynsweep.metrics import COLUMNS
from dynsweep.training import schedules
from dynsweep.training.driver import train
from dynsweep.training.probe import Probe, measure
from dynsweep.training.schedules import Schedule

BY_NAME = {engine.name: engine for engine in ENGINES}
WIDTH, SAMPLES = 20, 9
# Triton's interpreter takes tenths of a second a step.
LONGEST = {"triton": 8}
CAN_TRITON = importlib.util.find_spec("triton") is not None


make_run = partial(
    run_from,
    dataset__samples_per_class=SAMPLES,
    dataset__validation_samples_per_class=5,
    model__width=WIDTH,
    loss__period=20,
    steps=100,
    precision="float64",
)


@pytest.fixture(params=[engine.name for engine in ENGINES])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every engine; those of CUDA as far as a CPU can show."""
    if request.param == "triton" and not (CAN_TRITON and interpreted()):
        pytest.skip("needs Triton's interpreter; see test_triton_engine")
    return BY_NAME[request.param]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_settings(make_run(), "cpu"), cuda_on_cpu():
        yield


def several(engine: Engine, **changes: Any) -> Batch:
    """Three runs that differ in everything that may differ within a batch, of a length that the
    engine trains in a moment."""
    steps = LONGEST.get(engine.name, 100)
    different = [
        {"loss__period": steps // 5, "loss__amplitude": 20.0, "optimizer__lr": 1.0, "seed": 0},
        {"loss__period": steps // 3, "loss__amplitude": 1.0, "optimizer__lr": 0.3, "seed": 1},
        {"loss__period": 1, "loss__amplitude": 5.0, "optimizer__lr": 0.9, "seed": 2},
    ]
    return Batch(tuple(make_run(**{"steps": steps, **one, **changes}) for one in different))


def trained(engine: Engine, batch: Batch, *cuts: int) -> Session:
    """A session of the whole training, or of chunks of those lengths."""
    session, schedule = engine.begin(batch, "cpu"), Schedule(batch, "cpu")
    for steps in cuts or (batch.steps,):
        schedule.advance(session, steps)
    return session


def equal(a: Session, b: Session, run_a: int = 0, run_b: int = 0) -> bool:
    ours, theirs = a.weights(), b.weights()
    return all(np.array_equal(ours[name][run_a], theirs[name][run_b]) for name in ours)


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one unit": {"model__width": 1, "model__init": "glorot"},
    "two classes": {"model__width": 7, "dataset__classes": 2},
    "five classes, no biases": {"model__width": 19, "dataset__classes": 5, "model__bias": False},
    "many units": {"model__width": 300, "dataset__classes": 2, "dataset__samples_per_class": 2},
    "one sample to a class": {"dataset__samples_per_class": 1, "model__init": "glorot"},
    "notebook counting": {"loss__counting": "notebook"},
    "no static period": {"loss__last_period_static": False},
    "a static end": {"loss__static_end": 0.4},
    "cosine": {"optimizer__schedule__name": "cosine", "optimizer__schedule__warmup": 0.2},
    "linear": {"optimizer__schedule__name": "linear", "optimizer__schedule__final": 0.3},
    "piecewise": {
        "optimizer__schedule__name": "piecewise",
        "optimizer__schedule__milestones": (0.4, 0.7),
    },
}


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_a_computation_by_hand(engine: Engine, case: str) -> None:
    """To rounding, over at most a hundred steps; metrics too."""
    batch = several(engine, **CASES[case])
    assert engine.obstacle(batch.first, "cpu" if engine.name == "compiled" else "cuda") is None
    session = trained(engine, batch)
    assert session.step == batch.steps
    weights, metrics = session.weights(), measure(session, Probe(batch, "cpu"))
    assert metrics.keys() == COLUMNS.keys()
    for k, run in enumerate(batch.runs):
        expected = train_by_hand(run)
        assert weights.keys() == expected.keys()
        for name, value in expected.items():
            ours = weights[name][k]
            assert (ours.shape, ours.dtype) == (value.shape, np.float64)
            size = np.abs(value).max()
            np.testing.assert_allclose(ours, value, rtol=1e-9, atol=1e-9 * size, err_msg=name)
        for name, number in evaluate_by_hand(run, expected).items():
            assert metrics[name][k] == pytest.approx(number, rel=1e-8), name


def test_float32_to_rounding(engine: Engine) -> None:
    steps = min(10, LONGEST.get(engine.name, 10))
    batch = several(engine, precision="float32", steps=steps)
    session = trained(engine, batch)
    weights, metrics = session.weights(), measure(session, Probe(batch, "cpu"))
    for k, run in enumerate(batch.runs):
        expected = train_by_hand(run)
        for name, value in expected.items():
            assert weights[name].dtype == np.float32
            np.testing.assert_allclose(weights[name][k], value, rtol=1e-4, atol=1e-5)
        for name, number in evaluate_by_hand(run, expected).items():
            assert metrics[name][k] == pytest.approx(number, rel=1e-4), name


def test_begins_with_the_weights_of_the_model(engine: Engine) -> None:
    for changes in ({}, {"model__bias": False}, {"model__init": "glorot"}):
        batch = several(engine, **changes)
        weights = engine.begin(batch, "cpu").weights()
        for name, value in batch.initial_weights().items():
            np.testing.assert_array_equal(weights[name], value.numpy())


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_neither_company_nor_chunks_change_a_bit(engine: Engine, precision: str) -> None:
    short = engine.name in LONGEST
    steps, count = (8, 3) if short else (150, 64)
    runs = [
        make_run(
            steps=steps, precision=precision, model__width=11 if short else 37, seed=k // 3,
            loss__period=5 + k, loss__amplitude=1.0 + k, optimizer__lr=0.5 + 0.1 * (k % 7),
        )
        for k in range(count)
    ]  # fmt: skip
    together = trained(engine, Batch(tuple(runs)))
    metrics = measure(together, Probe(Batch(tuple(runs)), "cpu"))
    for chosen in ((0,), (count - 1,), (count - 2, 1)):
        some = Batch(tuple(runs[k] for k in chosen))
        apart = trained(engine, some, 1, 0, 2, steps - 3)
        alone = measure(apart, Probe(some, "cpu"))
        for place, k in enumerate(chosen):
            assert equal(apart, together, place, k)
            assert all(alone[name][place] == metrics[name][k] for name in COLUMNS)


def test_the_size_of_tables_changes_no_bit(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = several(engine, optimizer__schedule__name="cosine", loss__static_end=0.2)
    whole = trained(engine, batch)
    monkeypatch.setattr(schedules, "TABLE", 27)  # three steps of three runs and classes
    monkeypatch.setattr(schedules, "BLOCK", 4)
    cut = trained(engine, batch)
    assert all(equal(whole, cut, k, k) for k in range(3))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_goes_on_from_a_state_to_the_bit(engine: Engine, precision: str) -> None:
    batch = several(engine, precision=precision, optimizer__schedule__name="cosine")
    half = batch.steps // 2
    first, second = trained(engine, batch, half), engine.begin(batch, "cpu")
    second.restore(half, first.state())
    schedule = Schedule(batch, "cpu")
    for session in (first, second):
        schedule.advance(session, batch.steps - half)
    assert second.step == batch.steps
    whole = trained(engine, batch)
    assert all(equal(whole, one, k, k) for one in (first, second) for k in range(3))


@pytest.mark.parametrize(("precision", "lr"), [("float32", 1e30), ("float64", 1e300)])
def test_a_diverging_run_leaves_the_others_alone(
    engine: Engine, precision: str, lr: float
) -> None:
    tame = make_run(steps=LONGEST.get(engine.name, 60), precision=precision)
    wild = replace(tame, optimizer=replace(tame.optimizer, lr=lr))
    batch = Batch((wild, tame, wild))
    session = trained(engine, batch)
    assert equal(session, trained(engine, Batch((tame,))), 1, 0)
    metrics = measure(session, Probe(batch, "cpu"))
    for k in (0, 2):
        assert not all(np.isfinite(value[k]).all() for value in session.weights().values())
        assert not np.isfinite(metrics["train_loss"][k])
        assert metrics["train_accuracy"][k] < 0.4
    assert np.isfinite(metrics["train_loss"][1])


def test_measuring_between_steps_changes_nothing(engine: Engine) -> None:
    batch = several(engine)
    session, schedule, probe = (
        engine.begin(batch, "cpu"),
        Schedule(batch, "cpu"),
        Probe(batch, "cpu"),
    )
    for _ in range(batch.steps):
        measure(session, probe)
        schedule.advance(session, 1)
    undisturbed = trained(engine, batch)
    assert all(equal(session, undisturbed, k, k) for k in range(3))


def test_the_learning_rate_may_follow_the_sharpness(engine: Engine) -> None:
    """Engines know nothing of it: all take the rates that the schedule measured."""
    changes = {"optimizer__schedule__name": "sharpness", "optimizer__schedule__every": 3}
    batch = several(engine, **changes)
    expected = trained(BY_NAME["reference"], batch, *[1] * batch.steps).weights()
    for name, value in trained(engine, batch).weights().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-7, atol=1e-8)


def test_nothing_of_the_process_is_changed(engine: Engine) -> None:
    before = torch.get_num_threads()
    engine.begin(several(engine), "cpu")
    assert torch.get_num_threads() == before
    torch.set_num_threads(before + 1)
    train(several(engine), engine, "cpu")
    assert torch.get_num_threads() == before + 1


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A setting that somebody adds to a group, and that no engine knows of."""
    kept = (settings.declared, settings_of, _readers)
    other = make_dataclass("Other", [("smoothing", float, settings.setting(0.0))])
    field = other.__dataclass_fields__["smoothing"]
    monkeypatch.setitem(LossConfig.__dataclass_fields__, "smoothing", field)
    monkeypatch.setattr(LossConfig, "smoothing", 0.0, raising=False)
    for function in kept:
        function.cache_clear()
    yield "smoothing"
    monkeypatch.undo()
    for function in kept:
        function.cache_clear()


def test_a_setting_that_is_added_parts_batches_and_goes_to_the_reference_engine(
    added: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "cc")
    runs = [make_run(seed=seed) for seed in range(4)]
    assert group(runs) == [[0, 1, 2, 3]]
    for run in runs[1::2]:
        setattr(run.loss, added, 0.1)
    assert group(runs) == [[0, 2], [1, 3]]
    for device, fast in (("cpu", "compiled"), ("cuda", "triton" if CAN_TRITON else "graphed")):
        assert choose(runs[0], device).name == fast
        assert choose(runs[1], device).name == "reference"
    for engine in ENGINES[:-1]:
        device = "cpu" if engine.name == "compiled" else "cuda"
        if engine.name != "triton" or CAN_TRITON:
            obstacle = engine.obstacle(runs[1], device)
            assert obstacle == "trains with loss.smoothing=0.0, not 0.1"


def test_runs_of_a_batch_never_differ_in_what_an_engine_ignores() -> None:
    """Momentum is an array to the reference engine and nothing to the Triton one."""
    runs = [make_run(seed=k, optimizer__momentum=m) for k, m in enumerate((0.0, 0.9, 0.0, 0.5))]
    assert group(runs) == [[0, 2], [1, 3]]
    assert [unlisted(TritonEngine.trains, run) is None for run in runs] == [True, False] * 2
    assert {choose(run, "cpu").name for run in runs} == {"compiled"}
    decays = [make_run(optimizer__weight_decay=d, loss__period=3) for d in (0.1, 0.0)]
    assert group(decays) == [[0], [1]]
    assert len(group([make_run(steps=90), make_run(model__width=3), make_run()])) == 3
