"""The engine that replays CUDA graphs, and the way on which it takes several runs."""

import logging
import math
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import RunConfig
from dynsweep.engines.base import ANY, TABLES, Capabilities, Engine, Session, unlisted
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_memory
from dynsweep.engines.faults import release, short_of_memory
from dynsweep.engines.graphed_session import GraphedSession
from dynsweep.engines.reference import AMPLE, memory
from dynsweep.engines.work import measuring

log = logging.getLogger(__name__)

# Several convolutional networks fused are grouped convolutions, which may be slower on a GPU than
# one after the other, as small ones leave most of it idle: which way is best, a measurement tells.
WAYS = {"fused": 0, "one after the other": 1, "side by side on 8 streams": 8}
MEASURING = 0.2  # s that a way is tried
MEASURED: dict[tuple[Any, ...], int] = {}  # streams, by what decides the time of a step


class MeasuredSession(Session):
    """A graphed session that goes the fastest way.

    One that is gone on with stays on its way: fused, the sums have another order.
    """

    def __init__(self, batch: Batch, device: str) -> None:
        super().__init__(batch, device)
        self.batch, self.streams = batch, -1

    @cached_property
    def session(self) -> GraphedSession:
        if self.streams < 0:
            run = self.batch.first
            of = (run.dataset, run.model, run.optimizer.batch_size, run.precision, run.loss.name)
            key = (*of, self.runs, str(self.device))
            if key not in MEASURED:
                MEASURED[key] = fastest(self.batch, str(self.device))
            self.streams = MEASURED[key]
        return GraphedSession(self.batch, str(self.device), self.streams)

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        self.session.advance(class_weights, rates)
        self.step = self.session.step

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return self.session.weights()

    def tensors(self) -> dict[str, Tensor]:
        return self.session.tensors()

    def state(self) -> dict[str, NDArray[Any]]:
        return {"streams": np.array(self.session.streams), **self.session.state()}

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        self.step, self.streams = step, int(state.get("streams", 0))
        self.__dict__.pop("session", None)
        self.session.restore(step, state)


def fastest(batch: Batch, device: str) -> int:
    """The streams of the way on which a few steps of ``batch`` take the least time."""
    found = {}
    for way, streams in WAYS.items():
        try:
            found[way] = _seconds(GraphedSession(batch, device, streams))
        except Exception as error:
            if not short_of_memory(error):
                raise
            found[way] = math.inf
        release(device)
    best = min(found, key=found.__getitem__)
    each = ", ".join(f"{way} {seconds / len(batch) * 1e3:.3g}" for way, seconds in found.items())
    log.info("Runs of %s go %s: ms of a run and step, %s", batch.first.model.name, best, each)
    return WAYS[best]


def _seconds(session: GraphedSession) -> float:
    """Of a step, with nothing learned."""
    steps = max(session.lengths)
    class_weights = session.class_weights.new_ones(steps, *session.class_weights.shape[1:])
    rates = session.rates.new_zeros(steps, session.runs)
    session.advance(class_weights, rates)  # captures
    start, taken = time.perf_counter(), 0
    while time.perf_counter() - start < MEASURING or not taken:
        session.advance(class_weights, rates)
        taken += steps
    return (time.perf_counter() - start) / taken


# A dataset is arrays, a model a function of tensors: what they do is captured with them.
CAPTURED: Capabilities = {
    **TABLES,
    "dataset.*": ANY,
    "model.*": ANY,
    "loss.name": ["cross_entropy", "mean_squared_error"],
    "optimizer.momentum": ANY,
    "optimizer.nesterov": ANY,
    "optimizer.weight_decay": ANY,
    "optimizer.batch_size": ANY,
    "precision": ANY,
}


class GraphedEngine(Engine):
    """Any model on CUDA that the reference engine trains."""

    name = "graphed"
    trains = CAPTURED
    session = GraphedSession

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if not device.startswith("cuda"):
            return "needs device=cuda"
        if run.model.name == "own":
            return "captures no module from outside, whose steps may ask the host"
        return unlisted(self.trains, run)

    def batch_size(self, run: RunConfig, device: str) -> int:
        """As many as fit into half of the free memory; more than 2048 gain nothing."""
        return max(1, min(2048, available_memory(device) // 2 // (memory(run) + measuring(run))))

    def memory(self, run: RunConfig) -> int:
        return memory(run) // AMPLE

    def begin(self, batch: Batch, device: str) -> Session:
        """A session; for several runs of a network of images one that finds its way first."""
        if len(batch) == 1 or len(batch.dataset.shape) == 1:
            return self.session(batch, device)
        return MeasuredSession(batch, device)
