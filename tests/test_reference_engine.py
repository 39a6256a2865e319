"""The reference engine against autograd on the loss as one would write it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from by_hand import advance, weights_of_class

from dynsweep.config import RunConfig
from dynsweep.data import load
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.models.mlp import MLP

Make = Callable[..., RunConfig]


def test_gradient_against_autograd(make_run: Make) -> None:
    """A step at learning rate 1 moves by the gradient of the loss as one would write it."""
    run = make_run(precision="float64", period=6, amplitude=25.0, seed=5)
    data = load(run.dataset)
    trained = ReferenceEngine().begin(Batch((run,)), "cpu")
    advance(trained, 3, run)  # the weights of the classes now differ
    before = {k: torch.tensor(v[0], requires_grad=True) for k, v in trained.weights().items()}
    x, y = torch.tensor(data.train_inputs), torch.tensor(data.train_labels)
    logits = torch.relu(x @ before["w1"] + before["b1"]) @ before["w2"] + before["b2"]
    class_weight = torch.tensor(weights_of_class(3, run, 3), dtype=torch.float64)
    losses = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    gradients = torch.autograd.grad((class_weight[y] * losses).mean(), list(before.values()))
    advance(trained, 1, run)
    for (name, old), gradient in zip(before.items(), gradients, strict=True):
        moved = old.detach() - torch.tensor(trained.weights()[name][0])
        assert torch.allclose(moved, gradient, rtol=1e-9, atol=1e-13)


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
