"""The simple model in plain NumPy float64, sharing no code with the engines; and how to step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynsweep.config import MLPConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines import Session
from dynsweep.engines.batches import Batch
from dynsweep.models.mlp import MLP
from dynsweep.training.schedules import Schedule, factor


def advance(session: Session, steps: int, *runs: RunConfig, device: str = "cpu") -> None:
    """Take so many steps with the session of these runs."""
    Schedule(Batch(runs), device).advance(session, steps)


def weights_of_class(step: int, run: RunConfig, classes: int) -> list[float]:
    """G(t) from the words of the paper, in plain Python."""
    loss = run.loss
    cycle, within = divmod(step, loss.period + (loss.counting == "notebook"))
    g = [1.0] * classes
    static = loss.last_period_static and step >= run.steps - loss.period
    if not static and step < run.steps * (1 - loss.static_end):
        g[cycle % classes] = 1 + (loss.amplitude - 1) * (1 - abs(2 * within / loss.period - 1))
    return [classes * one / sum(g) for one in g]


def train_by_hand(run: RunConfig) -> dict[str, NDArray[np.float64]]:
    """Gradient descent with the backward pass written out, one run, NumPy float64."""
    data = load(run.dataset)
    x, y = data.train_inputs, data.train_labels
    assert isinstance(run.model, MLPConfig)
    params = {k: v.numpy() for k, v in MLP(run.model, 2, data.classes).init(run.seed).items()}
    for step in range(run.steps):
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
        rate = run.optimizer.lr * factor(run.optimizer.schedule, step, run.steps)
        params = {name: value - rate * gradients[name] for name, value in params.items()}
    return params


def evaluate_by_hand(run: RunConfig, w: dict[str, NDArray[Any]]) -> dict[str, float]:
    data, columns = load(run.dataset), {}
    for part in ("train", "validation"):
        x, y = getattr(data, f"{part}_inputs"), getattr(data, f"{part}_labels")
        logits = np.maximum(x @ w["w1"] + w.get("b1", 0), 0) @ w["w2"] + w.get("b2", 0)
        logits = logits - logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
        columns[f"{part}_loss"] = float(losses.mean())
        columns[f"{part}_accuracy"] = float((logits.argmax(axis=1) == y).mean())
    return columns
