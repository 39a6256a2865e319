"""The reference engine against float64 computations that share no code with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from dynsweep.config import RunConfig
from dynsweep.data import load
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceEngine, ReferenceSession
from dynsweep.models.mlp import MLP

Make = Callable[..., RunConfig]


def session(*runs: RunConfig) -> ReferenceSession:
    return ReferenceEngine().begin(Batch(runs), "cpu")


def weights_of_class(step: int, run: RunConfig, classes: int) -> list[float]:
    """G(t) from the words of the paper, in plain Python."""
    cycle_steps = run.loss.period + (run.loss.counting == "notebook")
    cycle, within = divmod(step, cycle_steps)
    g = [1.0] * classes
    if not (run.loss.last_period_static and step >= run.steps - run.loss.period):
        rise = 1 - abs(2 * within / run.loss.period - 1)
        g[cycle % classes] = 1 + (run.loss.amplitude - 1) * rise
    return [classes * one / sum(g) for one in g]


def train_by_hand(run: RunConfig, steps: int) -> dict[str, np.ndarray]:
    """Gradient descent with the backward pass written out, one run, NumPy float64."""
    data = load(run.dataset)
    x, y = data.train_inputs, data.train_labels
    params = {k: v.numpy() for k, v in MLP(run.model, 2, data.classes).init(run.seed).items()}
    for step in range(steps):
        hidden = x @ params["w1"] + params.get("b1", 0)
        logits = np.maximum(hidden, 0) @ params["w2"] + params.get("b2", 0)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        g = np.array(weights_of_class(step, run, data.classes))[y] / len(y)
        back = g[:, None] * (shares - np.eye(data.classes)[y])
        back_hidden = (back @ params["w2"].T) * (hidden > 0)
        gradients = {"w2": np.maximum(hidden, 0).T @ back, "w1": x.T @ back_hidden}
        if run.model.bias:
            gradients |= {"b2": back.sum(axis=0), "b1": back_hidden.sum(axis=0)}
        params = {k: v - run.optimizer.lr * gradients[k] for k, v in params.items()}
    return params


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"period": 7, "amplitude": 40.0, "lr": 0.5, "seed": 3},
        {"period": 10, "amplitude": 70.0, "counting": "notebook", "init": "glorot"},
        {"steps": 60, "period": 20, "amplitude": 10.0, "samples_per_class": 33, "width": 37},
        {"classes": 5, "bias": False, "width": 1, "period": 9, "last_period_static": False},
    ],
)
def test_first_hundred_steps(make_run: Make, settings: dict[str, object]) -> None:
    run = make_run(precision="float64", **settings)
    steps = min(100, run.steps)
    trained = session(run)
    trained.advance(steps)
    for name, value in train_by_hand(run, steps).items():
        assert trained.weights()[name][0] == pytest.approx(value, rel=1e-9, abs=1e-12)


def test_gradient_against_autograd(make_run: Make) -> None:
    """A step at learning rate 1 moves by the gradient of the loss as one would write it."""
    run = make_run(precision="float64", period=6, amplitude=25.0, seed=5)
    data = load(run.dataset)
    trained = session(run)
    trained.advance(3)  # the weights of the classes now differ
    before = {k: torch.tensor(v[0], requires_grad=True) for k, v in trained.weights().items()}
    x, y = torch.tensor(data.train_inputs), torch.tensor(data.train_labels)
    logits = torch.relu(x @ before["w1"] + before["b1"]) @ before["w2"] + before["b2"]
    class_weight = torch.tensor(weights_of_class(3, run, 3), dtype=torch.float64)
    losses = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    gradients = torch.autograd.grad((class_weight[y] * losses).mean(), list(before.values()))
    trained.advance(1)
    for (name, old), gradient in zip(before.items(), gradients, strict=True):
        moved = old.detach() - torch.tensor(trained.weights()[name][0])
        assert torch.allclose(moved, gradient, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(("width", "samples"), [(100, 100), (37, 33), (101, 7)])
def test_result_does_not_depend_on_the_batch(
    make_run: Make, precision: str, width: int, samples: int
) -> None:
    runs = [
        make_run(
            precision=precision,
            width=width,
            samples_per_class=samples,
            period=5 + i,
            amplitude=1.0 + i,
            lr=0.5 + 0.1 * (i % 7),
            seed=i // 3,
        )
        for i in range(64)
    ]
    together = session(*runs)
    together.advance(150)
    for chosen in ((0,), (1,), (63,), (20, 21), (62, 5)):
        some = session(*(runs[i] for i in chosen))
        some.advance(150)
        for name, value in some.weights().items():
            assert np.array_equal(value, together.weights()[name][list(chosen)]), (name, chosen)


def test_chunks_change_nothing(make_run: Make) -> None:
    run = make_run(period=11)
    whole, cut = session(run), session(run)
    whole.advance(90)
    for steps in (1, 2, 37, 50):
        cut.advance(steps)
    assert whole.step == cut.step == 90
    for name, value in whole.weights().items():
        assert np.array_equal(value, cut.weights()[name])


def test_initial_weights_have_the_variances_of_the_two_notebooks(make_run: Make) -> None:
    draws = {}
    for init in ("standard", "glorot"):
        run = make_run(width=1000, init=init)
        models = [MLP(run.model, 2, 3).init(seed) for seed in range(20)]
        draws[init] = {k: torch.stack([m[k] for m in models]) for k in models[0]}
    standard, glorot = draws["standard"], draws["glorot"]
    assert standard["w1"].var().item() == pytest.approx(1 / 2, rel=0.03)
    assert standard["w2"].var().item() == pytest.approx(1 / 1000, rel=0.03)
    assert not standard["b1"].any()
    assert not standard["b2"].any()
    assert glorot["w1"].var().item() == pytest.approx(2 / 1002, rel=0.03)
    assert glorot["w2"].var().item() == pytest.approx(2 / 1003, rel=0.03)
    assert glorot["b1"].std().item() == pytest.approx(0.01, rel=0.03)


def test_evaluation_by_hand(make_run: Make) -> None:
    run = make_run(precision="float64", validation_samples_per_class=41)
    trained = session(run)
    trained.advance(20)
    metrics, data = trained.evaluate(), load(run.dataset)
    w = {name: value[0] for name, value in trained.weights().items()}
    for part in ("train", "validation"):
        x, y = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_labels")
        logits = np.maximum(x @ w["w1"] + w["b1"], 0) @ w["w2"] + w["b2"]
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
        assert getattr(metrics, f"{part}_loss")[0] == pytest.approx(losses.mean(), rel=1e-12)
        right = (logits.argmax(axis=1) == y).mean()
        assert getattr(metrics, f"{part}_accuracy")[0] == pytest.approx(right, abs=1e-15)


def test_a_diverging_run_leaves_the_others_alone(make_run: Make) -> None:
    good, bad = make_run(width=32), make_run(width=32, lr=1e30)
    both, alone = session(good, bad), session(good)
    both.advance(50)
    alone.advance(50)
    assert np.array_equal(both.weights()["w1"][0], alone.weights()["w1"][0])
    assert not np.isfinite(both.weights()["w1"][1]).all()
    metrics = both.evaluate()
    assert metrics.train_accuracy[1] == 0
    assert not np.isfinite(metrics.train_loss[1])
