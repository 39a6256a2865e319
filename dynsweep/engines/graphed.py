"""The reference engine without Python in the loop: its steps captured into CUDA graphs.

The captured kernels are those of the reference engine; time is a number on the device, which
every captured step increases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from dynsweep.config import RunConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_memory
from dynsweep.engines.reference import ReferenceSession, memory
from dynsweep.training.schedules import factor

STEPS = 32  # per graph; the rest of a chunk replays a graph of one step


class GraphedSession(ReferenceSession):
    """Training of one batch by replays; see :class:`dynsweep.engines.base.Session`."""

    def __init__(self, batch: Batch, device: str) -> None:
        super().__init__(batch, device)
        self.clock = torch.zeros((), dtype=torch.int64, device=self.device)
        self.graphs: dict[int, Callable[[], None]] = {}
        schedule = self.run.optimizer.schedule
        rates = [factor(schedule, step, self.steps) for step in range(self.steps)]
        self.rates = torch.tensor(rates, device=self.device, dtype=self.dtype)

    def take(self, steps: int) -> None:
        """``steps`` steps from the time that the clock shows, with no word from the host."""
        for _ in range(steps):
            self.descend(self.clock)
            self.clock += 1

    def capture(self) -> dict[int, Callable[[], None]]:
        """Graphs of STEPS steps and of one, by their length."""
        state = [self.clock, *self._state().values()]
        before = [value.detach().clone() for value in state]
        cuda: Any = torch.cuda
        with cuda.device(self.device):
            # Libraries allocate and choose their kernels at first use, which no graph may hold.
            side = cuda.Stream()
            side.wait_stream(cuda.current_stream())
            with cuda.stream(side):
                self.take(3)
            cuda.current_stream().wait_stream(side)
            graphs = {}
            pool = cuda.graph_pool_handle()  # in turn both may use the same memory
            for steps in (STEPS, 1):
                graphs[steps] = cuda.CUDAGraph()
                with cuda.graph(graphs[steps], pool=pool):
                    self.take(steps)
        with torch.no_grad():
            for value, saved in zip(state, before, strict=True):
                value.copy_(saved)
        return {steps: graph.replay for steps, graph in graphs.items()}

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        super().restore(step, state)
        self.clock.fill_(step)

    def advance(self, steps: int) -> None:
        end = self.step + steps
        while self.step < end:
            some = end - self.step
            if self.minibatches is not None:  # the order of samples is the host's
                epoch, place = divmod(self.step, self.minibatches.per_epoch)
                self.minibatches.begin(epoch, self.device)
                some = min(some, self.minibatches.per_epoch - place)
            self.graphs = self.graphs or self.capture()
            for _ in range(some // STEPS):
                self.graphs[STEPS]()
            for _ in range(some % STEPS):
                self.graphs[1]()
            self.step += some
        if self.device.type == "cuda":  # else the driver would measure, and pile up, launches
            torch.cuda.synchronize(self.device)


class GraphedEngine:
    """Any model on CUDA that the reference engine trains."""

    name = "graphed"

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        if not device.startswith("cuda"):
            return "needs device=cuda"
        if run.optimizer.schedule.name == "sharpness":
            return "cannot measure the sharpness that optimizer.schedule.name=sharpness needs"
        return None

    def batch_size(self, run: RunConfig, device: str) -> int:
        """As many as fit into half of the free memory; more than 2048 gain nothing."""
        return max(1, min(2048, available_memory(device) // 2 // memory(run)))

    def begin(self, batch: Batch, device: str) -> GraphedSession:
        return GraphedSession(batch, device)
