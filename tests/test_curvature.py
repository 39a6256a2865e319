"""Hessian, Lanczos and neural tangent kernel, against full and independent computations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import advance
from torch import Tensor, nn
from torch.nn import functional

from dynsweep.config import (
    LossConfig,
    MLPConfig,
    NTKConfig,
    ObserveConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    SharpnessConfig,
    SpiralsConfig,
)
from dynsweep.curvature.lanczos import Hessian, largest
from dynsweep.curvature.ntk import chosen
from dynsweep.data import load
from dynsweep.engines import choose
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.errors import Preempted
from dynsweep.loss import sample_losses
from dynsweep.store import load_snapshots, load_trajectories, read
from dynsweep.training.driver import Checkpoint, train
from dynsweep.training.probe import Probe, measure
from dynsweep.training.schedules import Schedule


def make_run(width: int = 6, **changes: Any) -> RunConfig:
    run = RunConfig(
        SpiralsConfig(samples_per_class=7, validation_samples_per_class=5),
        MLPConfig(width=width),
        LossConfig(period=20),
        OptimizerConfig(lr=0.5),
        steps=60,
        precision="float64",
    )
    return replace(run, **changes)


def trained(*runs: RunConfig, steps: int = 25) -> tuple[Probe, Tensor]:
    """A probe at the weights of that step, and the class weights then ``(runs, classes)``."""
    session, probe = ReferenceEngine().begin(Batch(runs), "cpu"), Probe(Batch(runs), "cpu")
    advance(session, steps, *runs)
    probe.load(session)
    return probe, Schedule(Batch(runs), "cpu").class_weights(steps)[0]


def full(hessian: Hessian, runs: int) -> Tensor:
    """``(runs, size, size)``, a product for every column."""
    columns = torch.eye(hessian.size, dtype=torch.float64)
    return torch.stack([hessian @ unit.expand(runs, -1) for unit in columns], dim=-1)


def several() -> tuple[RunConfig, ...]:
    return tuple(
        make_run(seed=k, loss=LossConfig(period=10 + 10 * k, amplitude=1 + 9.0 * k))
        for k in range(3)
    )


def plain_loss(run: RunConfig, weights: dict[str, Any], step: int) -> Callable[[Any], Any]:
    """F at time ``step`` as a function of one flat vector of weights, independently written."""
    data = load(run.dataset)
    inputs, labels = torch.as_tensor(data.train_inputs), torch.as_tensor(data.train_labels)
    g = torch.ones(3, dtype=torch.float64)
    cycle, within = divmod(step, run.loss.period)
    if step < run.steps - run.loss.period:
        g[cycle % 3] = 1 + (run.loss.amplitude - 1) * (1 - abs(2 * within / run.loss.period - 1))
    g = 3 * g / g.sum()
    shapes = {name: value.shape[1:] for name, value in weights.items()}

    def loss(flat: Any) -> Any:
        parts, at = {}, 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            parts[name], at = flat[at : at + size].view(tuple(shape)), at + size
        hidden = functional.relu(inputs @ parts["w1"] + parts["b1"])
        logits = hidden @ parts["w2"] + parts["b2"]
        losses = functional.cross_entropy(logits, labels, reduction="none")
        return (g[labels] * losses).mean()

    return loss


def flat(weights: dict[str, Any], run: int) -> Any:
    return torch.cat([torch.as_tensor(value[run]).flatten() for value in weights.values()])


def test_hessian_and_lanczos_against_all_eigenvalues() -> None:
    """Each run's own Hessian, from autograd on an independent loss, to 1e-8."""
    runs = several()
    probe, g = trained(*runs)
    weights = probe.network.weights()
    found = probe.sharpness(g, count=3, tolerance=1e-12)
    assert found.order < 60
    for k, run in enumerate(runs):
        hessian = torch.autograd.functional.hessian(plain_loss(run, weights, 25), flat(weights, k))
        values = torch.linalg.eigvalsh(hessian).flip(0)[:3]
        torch.testing.assert_close(found.values[k], values, rtol=1e-8, atol=1e-10)
    assert float(found.residuals.max()) < 1e-10
    hessians = Hessian(probe.loss(g), list(probe.network.params.values()))
    whole = torch.linalg.eigvalsh(full(hessians, 3)).flip(1)[:, :3]
    torch.testing.assert_close(found.values, whole, rtol=1e-8, atol=1e-10)


def test_curvature_of_the_weighted_loss_against_differences_of_its_gradient() -> None:
    probe, g = trained(make_run())
    network = probe.network
    loss = plain_loss(make_run(), network.weights(), 25)
    params = list(network.params.values())
    hessian = Hessian(probe.loss(g), params)
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in params]
    # Only along real weights: padding stays 0.
    parts = [torch.where(p == 0, 0.0, v) for p, v in zip(params, parts, strict=True)]
    product = hessian @ torch.cat([v.flatten(1) for v in parts], dim=1)
    gradients = []
    for sign in (1, -1):
        for param, part in zip(params, parts, strict=True):
            param.data += sign * 1e-6 * part
        vector = flat(network.weights(), 0).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(vector), vector)
        gradients.append(gradient)
        for param, part in zip(params, parts, strict=True):
            param.data -= sign * 1e-6 * part
    numeric = (gradients[0] - gradients[1]) / 2e-6
    shaped, at = {}, 0
    for name, param in network.params.items():
        shaped[name], at = (
            product[:, at : at + param[0].numel()].view(param.shape),
            at + param[0].numel(),
        )
    ours = flat({k: v.numpy() for k, v in network.model.unpack(shaped).items()}, 0)
    torch.testing.assert_close(ours, numeric, rtol=1e-5, atol=1e-7)


def test_batched_as_single() -> None:
    runs = several()
    together, g = trained(*runs)
    for k, run in enumerate(runs):
        alone, own = trained(run)
        for weights, single in ((g, own), (None, None)):
            torch.testing.assert_close(
                together.sharpness(weights, order=10).values[k],
                alone.sharpness(single, order=10).values[0],
            )
        samples = chosen(load(run.dataset).train_labels, 5, "balanced")
        torch.testing.assert_close(together.ntk(samples)[k], alone.ntk(samples)[0])


class Diagonal:
    def __init__(self, values: Any) -> None:
        self.values = values

    def __matmul__(self, vectors: Any) -> Any:
        return self.values * vectors


def test_lanczos_on_hard_matrices() -> None:
    """Equal eigenvalues, few different ones, negative ones, rank one, and nan."""
    size = 40
    rows = torch.stack([
        torch.ones(size), -torch.ones(size), torch.arange(size) - 50.0,
        torch.cat([torch.tensor([7.0]), torch.zeros(size - 1)]), 10.0 ** -torch.arange(size),
    ]).double()  # fmt: skip
    start = torch.randn(5, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = largest(Diagonal(rows), start, tolerance=1e-10)
    torch.testing.assert_close(found.values[:, 0], rows.amax(dim=1), rtol=1e-8, atol=1e-9)
    exact = largest(Diagonal(rows), start, order=10)
    assert exact.order == 10
    error = (exact.values[:, 0] - rows.amax(dim=1)).abs()
    assert (error <= exact.residuals[:, 0] + 1e-9).all()
    broken = largest(Diagonal(torch.where(rows == 7, torch.nan, rows)), start, order=5)
    assert broken.values[3, 0].isnan()
    assert broken.values[[0, 1, 2, 4], 0].isfinite().all()


def test_ntk_against_the_explicit_jacobian() -> None:
    probe, _ = trained(*several())
    data = load(make_run().dataset)
    samples = chosen(data.train_labels, 8, "balanced")
    np.testing.assert_array_equal(np.bincount(data.train_labels[samples]), [3, 3, 2])
    theta = probe.ntk(samples)
    for k in range(3):
        weights = {n: torch.as_tensor(v[k]) for n, v in probe.network.weights().items()}
        inputs = torch.as_tensor(data.train_inputs[samples])

        def logits(w1: Any, b1: Any, w2: Any, b2: Any, inputs: Any = inputs) -> Any:
            return functional.relu(inputs @ w1 + b1) @ w2 + b2

        order = [weights[name] for name in ("w1", "b1", "w2", "b2")]
        parts = torch.autograd.functional.jacobian(logits, tuple(order))
        jacobian = torch.cat([part.flatten(2) for part in parts], dim=2)
        exact = torch.einsum("icp,jcp->ij", jacobian, jacobian) / 3
        torch.testing.assert_close(theta[k], exact, rtol=1e-10, atol=1e-12)


def test_the_first_points_are_of_class_0() -> None:
    labels = load(SpiralsConfig()).train_labels
    assert set(labels[chosen(labels, 50, "first")]) == {0}
    assert np.bincount(labels[chosen(labels, 50, "balanced")]).tolist() == [17, 17, 16]


def test_sharpness_against_curvlinops() -> None:
    """A library that knows nothing of us, with SciPy's eigensolver."""
    curvlinops = pytest.importorskip("curvlinops")
    from scipy.sparse.linalg import eigsh

    run = make_run(width=10, loss=LossConfig(amplitude=1.0))
    probe, _ = trained(run)
    data, weights = load(run.dataset), probe.network.weights()
    model = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 3)).double()
    with torch.no_grad():
        for param, name in zip(model.parameters(), ("w1", "b1", "w2", "b2"), strict=True):
            param.copy_(torch.as_tensor(weights[name][0].T))
    batch = (torch.as_tensor(data.train_inputs), torch.as_tensor(data.train_labels))
    params = list(model.parameters())
    operator = curvlinops.HessianLinearOperator(model, nn.CrossEntropyLoss(), params, [batch])
    (value,) = eigsh(operator.to_scipy(), k=1, which="LA", return_eigenvectors=False)
    ours = probe.sharpness(tolerance=1e-10).values[0, 0]
    np.testing.assert_allclose(float(ours), value, rtol=1e-7)


OBSERVE = ObserveConfig(
    records=4, loss_every=10, class_accuracy_every=30, snapshots_every=20,
    sharpness=SharpnessConfig(every=15, of="both", order=10), ntk=NTKConfig(every=30, samples=6),
)  # fmt: skip


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_everything_is_recorded_alike_with_every_engine(precision: str) -> None:
    runs = tuple(replace(run, observe=OBSERVE, precision=precision) for run in several())
    compiled, reference = choose(runs[0], "cpu"), ReferenceEngine()
    assert compiled.name == "compiled"
    ours, theirs = (train(Batch(runs), engine, "cpu") for engine in (compiled, reference))
    assert ours.trajectory.keys() == theirs.trajectory.keys()
    tolerance = {"float64": 1e-7, "float32": 5e-2}[precision]
    for step, columns in theirs.trajectory.items():
        assert columns.keys() == ours.trajectory[step].keys()
        for name, value in columns.items():
            found = ours.trajectory[step][name]
            assert found.shape == value.shape
            if "residual" not in name and "change" not in name:
                np.testing.assert_allclose(found, value, rtol=tolerance, atol=tolerance)
    # The values themselves, against the independent loss.
    session = ReferenceEngine().begin(Batch(runs), "cpu")
    if precision == "float64":
        values = {}
        for step in (29, 30):
            advance(session, step - session.step, *runs)
            weights = session.weights()
            values[step] = [
                float(plain_loss(run, weights, step)(flat(weights, k)))
                for k, run in enumerate(runs)
            ]
        record = ours.trajectory[30]
        np.testing.assert_allclose(record["loss"], values[30], rtol=1e-9)
        np.testing.assert_allclose(
            record["loss_change"], np.subtract(values[30], values[29]), rtol=1e-6, atol=1e-12
        )
        mean = np.mean([record[f"train_accuracy_{k}"] for k in range(3)], axis=0)
        measured = measure(session, Probe(Batch(runs), "cpu"))
        np.testing.assert_allclose(mean, measured["train_accuracy"])


def test_observing_changes_nothing() -> None:
    runs = several()
    plain = train(Batch(runs), choose(runs[0], "cpu"), "cpu")
    seen = train(
        Batch(tuple(replace(r, observe=OBSERVE) for r in runs)), choose(runs[0], "cpu"), "cpu"
    )
    for name, value in plain.weights.items():
        np.testing.assert_array_equal(seen.weights[name], value)


def test_records_and_snapshots_are_read_back(tmp_path: Path, dynsweep: Callable[..., Any]) -> None:
    done = dynsweep(
        "-m", "model.width=8", "steps=40", "seed=0,1", "observe=curvature", "observe.records=3",
        "observe.loss_every=10", "observe.class_accuracy_every=20", "observe.sharpness.every=20",
        "observe.ntk.every=20", "observe.snapshots_every=20", "hydra.sweep.dir=out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frame = load_trajectories(tmp_path / "out")
    one = frame[frame["id"] == frame["id"].iloc[0]].set_index("step")
    assert sorted(one.index[one["sharpness"].notna()]) == [0, 20, 40]
    assert sorted(one.index[one["loss_change"].notna()]) == [10, 20, 30, 40]
    assert {"weight_2", "ntk", "train_accuracy_1", "train_loss"} <= set(one.columns)
    (file,) = (tmp_path / "out" / "trajectories").iterdir()
    assert len(pd.read_csv(file)) == len(frame)
    entry = next(iter(read(tmp_path / "out")))
    weights = load_snapshots(tmp_path / "out", entry["snapshots"], entry["id"])
    assert sorted(weights) == [0, 20, 40]
    assert weights[20]["w1"].shape == (2, 8)


def test_mean_squared_error() -> None:
    logits = torch.tensor([[[1.0, 2.0, 4.0], [0.0, 0.0, 1.0]]])
    losses = sample_losses(logits, torch.tensor([0, 2]), "mean_squared_error")
    torch.testing.assert_close(losses, torch.tensor([[20 / 3, 0.0]]))
    run = make_run(loss=LossConfig("mean_squared_error", period=20, amplitude=5.0))
    assert choose(run, "cpu").name == "compiled"
    probe, class_weights = trained(run, steps=7)
    data = load(run.dataset)
    inputs, labels = torch.as_tensor(data.train_inputs), torch.as_tensor(data.train_labels)
    weights = {n: torch.as_tensor(v[0]) for n, v in probe.network.weights().items()}
    outputs = (
        functional.relu(inputs @ weights["w1"] + weights["b1"]) @ weights["w2"] + weights["b2"]
    )
    squares = ((outputs - functional.one_hot(labels)) ** 2).mean(dim=1)
    g = torch.tensor([1 + 4 * (1 - abs(2 * 7 / 20 - 1)), 1, 1], dtype=torch.float64)
    expected = ((3 * g / g.sum())[labels] * squares).mean()
    torch.testing.assert_close(probe.loss(class_weights)[0], expected, rtol=1e-12, atol=0)
    np.testing.assert_allclose(probe.metrics()["train_loss"][0], float(squares.mean()))


def test_learning_rate_from_sharpness() -> None:
    """A step is a fraction of 2 / sharpness, within its bounds; a state continues."""
    changes = ScheduleConfig("sharpness", fraction=0.4, every=5, lowest=0.01, highest=100)
    run = make_run(optimizer=OptimizerConfig(lr=0.5, schedule=changes))
    batch = Batch((run,))
    session, schedule = choose(run, "cpu").begin(batch, "cpu"), Schedule(batch, "cpu")
    probe = Probe(batch, "cpu")
    schedule.advance(session, 10)
    probe.load(session)
    g = schedule.class_weights(10)[0]
    sharpness = float(probe.sharpness(g, order=10).values[0, 0])
    before = flat(session.weights(), 0)
    vector = before.clone().requires_grad_()
    loss = plain_loss(run, session.weights(), 10)
    (gradient,) = torch.autograd.grad(loss(vector), vector)
    schedule.advance(session, 1)
    moved = flat(session.weights(), 0)
    torch.testing.assert_close(moved, before - 0.8 / sharpness * gradient, rtol=1e-9, atol=1e-12)
    saved = session.state() | schedule.state()  # between two measurements
    schedule.advance(session, 7)
    other, again = choose(run, "cpu").begin(batch, "cpu"), Schedule(batch, "cpu")
    other.restore(11, saved)
    again.restore(saved)
    again.advance(other, 7)
    torch.testing.assert_close(
        flat(other.weights(), 0), flat(session.weights(), 0), rtol=0, atol=0
    )
    bounded = make_run(optimizer=OptimizerConfig(lr=0.5, schedule=replace(changes, highest=1.5)))
    schedule = Schedule(Batch((bounded,)), "cpu")
    schedule.advance(choose(bounded, "cpu").begin(Batch((bounded,)), "cpu"), 1)
    assert float(schedule.rates(1, 1)[0, 0]) == 0.75


def test_a_training_that_follows_the_sharpness_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Stopped between two measurements: the present rates are part of what is saved."""
    changes = ScheduleConfig("sharpness", fraction=0.4, every=17, highest=100)
    batch = Batch(
        tuple(
            replace(run, optimizer=OptimizerConfig(lr=0.5, schedule=changes)) for run in several()
        )
    )
    engine = choose(batch.first, "cpu")
    whole = train(batch, engine, "cpu")

    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path, ["a", "b", "c"], engine.name, 0)

    with pytest.raises(Preempted):
        train(batch, engine, "cpu", checkpoint=checkpoint(), stop=lambda: True)
    saved = checkpoint().load()
    assert saved is not None
    assert saved[0]["step"] % 17 != 0
    resumed = train(batch, engine, "cpu", checkpoint=checkpoint())
    for name, value in whole.weights.items():
        np.testing.assert_array_equal(resumed.weights[name], value)
