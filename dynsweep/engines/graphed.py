"""The reference engine without Python in the loop: its steps captured into CUDA graphs.

The captured kernels are those of the reference engine. Time is a number on the device, which
every captured step increases, and by which it finds its row of the tables: nothing in a capture
may be read by the host.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import RunConfig
from dynsweep.engines.base import ANY, TABLES, Capabilities, Engine, unlisted
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_memory
from dynsweep.engines.reference import AMPLE, ReferenceSession, memory
from dynsweep.engines.work import measuring

STEPS = 32  # per graph; the rest of a chunk replays a graph of one step
ROWS = 1024  # steps of which the device holds class weights and learning rates


class GraphedSession(ReferenceSession):
    """Training of one batch by replays; see :class:`dynsweep.engines.base.Session`."""

    def __init__(self, batch: Batch, device: str) -> None:
        super().__init__(batch, device)
        self.clock = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.graphs: dict[int, Callable[[], None]] = {}
        # Where the captured steps look: step t in row t mod ROWS.
        shape = (ROWS, self.runs, batch.dataset.classes)
        self.class_weights = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self.rates = torch.zeros(shape[:2], dtype=self.dtype, device=self.device)

    def take(self, steps: int) -> None:
        """``steps`` steps from the time that the clock shows, with no word from the host."""
        for _ in range(steps):
            row = self.clock % ROWS
            class_weights = self.class_weights.index_select(0, row)[0]
            self.descend(self.clock, class_weights, self.rates.index_select(0, row)[0])
            self.clock += 1

    def capture(self) -> dict[int, Callable[[], None]]:
        """Graphs of STEPS steps and of one, by their length."""
        state = [self.clock, *self.tensors().values()]
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

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        while len(rates):
            row = self.step % ROWS
            some = min(len(rates), ROWS - row)
            if self.minibatches is not None:  # the order of samples is the host's
                epoch, place = divmod(self.step, self.minibatches.per_epoch)
                self.minibatches.begin(epoch)
                some = min(some, self.minibatches.per_epoch - place)
            self.class_weights[row : row + some] = class_weights[:some]
            self.rates[row : row + some] = rates[:some]
            self.graphs = self.graphs or self.capture()
            for _ in range(some // STEPS):
                self.graphs[STEPS]()
            for _ in range(some % STEPS):
                self.graphs[1]()
            self.step += some
            class_weights, rates = class_weights[some:], rates[some:]
        if self.device.type == "cuda":  # else the driver would measure, and pile up, launches
            torch.cuda.synchronize(self.device)


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
