"""The run of the benchmark in JAX: a jitted step per call, a scan over steps, a vmap of that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from dynsweep.config import RunConfig
from dynsweep.engines.batches import Batch

Params = dict[str, Any]


def _start(runs: list[RunConfig]) -> tuple[Params, Callable[[Params, Any], Params]]:
    """Initial parameters with a leading axis of runs, and one step of one run."""
    first, data = runs[0], Batch(tuple(runs)).dataset
    inputs, labels = jnp.asarray(data.train_inputs, jnp.float32), jnp.asarray(data.train_labels)
    model = first.model.build((2,), 3)
    drawn = [model.init(run.seed) for run in runs]
    params = {
        name: jnp.asarray(np.stack([one[name].numpy() for one in drawn]), jnp.float32)
        for name in drawn[0]
    }
    period, amplitude, lr = first.loss.period, first.loss.amplitude, first.optimizer.lr

    def loss(params: Params, step: Any) -> Any:
        hidden = jax.nn.relu(inputs @ params["w1"] + params["b1"])
        logs = jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])
        cycle, within = step // period, step % period
        g = 1 + (amplitude - 1) * (1 - jnp.abs(2 * within / period - 1))
        weights = jnp.where(jnp.arange(3) == cycle % 3, g, 1.0)
        weights = 3 * weights / weights.sum()
        return -(weights[labels] * jnp.take_along_axis(logs, labels[:, None], 1)[:, 0]).mean()

    def step(params: Params, now: Any) -> Params:
        return jax.tree.map(lambda p, g: p - lr * g, params, jax.grad(loss)(params, now))

    return params, step


def step_per_call(run: RunConfig) -> Callable[[int], None]:
    """The authors' way: Python calls a jitted step, one run."""
    params, step = _start([run])
    params, step = {name: value[0] for name, value in params.items()}, jax.jit(step)
    now = 0

    def train(steps: int) -> None:
        nonlocal params, now
        for t in range(now, now + steps):
            params = step(params, t)
        now += steps
        jax.block_until_ready(params)

    return train


def scanned(runs: list[RunConfig]) -> Callable[[int], None]:
    """All steps of a call in one compiled scan: of one run, or mapped over several."""
    params, step = _start(runs)
    if len(runs) == 1:
        params = {name: value[0] for name, value in params.items()}
    now = 0

    @partial(jax.jit, static_argnames="steps")
    def scan(params: Params, now: Any, steps: int) -> Params:
        def one(params: Params) -> Params:
            times = now + jnp.arange(steps)
            return lax.scan(lambda p, t: (step(p, t), None), params, times)[0]

        return one(params) if len(runs) == 1 else jax.vmap(one)(params)

    def train(steps: int) -> None:
        nonlocal params, now
        params = jax.block_until_ready(scan(params, now, steps=steps))
        now += steps

    return train
