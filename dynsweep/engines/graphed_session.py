"""The reference engine without Python in the loop: its steps captured into CUDA graphs.

The captured kernels are those of the reference engine. Time is a number on the device, which
every captured step increases, and by which it finds its row of the tables: nothing in a capture
may be read by the host.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.engines.base import Session
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceSession

STEPS = 32  # of runs that a graph takes; the rest of a chunk replays a graph of one step
ROWS = 1024  # steps of which the device holds class weights and learning rates


class GraphedSession(Session):
    """Training of one batch by replays; see :class:`dynsweep.engines.base.Session`.

    Args:
        streams: 0 captures the runs fused, in the kernels of one network. Otherwise each run has
            its own, and that many of them compute side by side; 1: one after the other.
    """

    def __init__(self, batch: Batch, device: str, streams: int = 0) -> None:
        super().__init__(batch, device)
        whole = ReferenceSession(batch if not streams else Batch(batch.runs[:1]), device)
        others = batch.runs[1:] if streams else ()
        self.parts = [whole, *(ReferenceSession(Batch((r,)), device, whole.train) for r in others)]
        self.streams, self.each = streams, self.runs // len(self.parts)
        # Steps of the graphs, the longest first.
        self.lengths = sorted({max(1, STEPS // len(self.parts)), 1}, reverse=True)
        self.clock = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.graphs: dict[int, Callable[[], None]] = {}
        # Where the captured steps look: step t in row t mod ROWS.
        shape = (ROWS, self.runs, batch.dataset.classes)
        self.class_weights = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self.rates = torch.zeros(shape[:2], dtype=self.dtype, device=self.device)

    def take(self, steps: int) -> None:
        """``steps`` steps from the time that the clock shows, with no word from the host."""
        cuda: Any = torch.cuda
        now = cuda.current_stream()
        aside = [cuda.Stream() for _ in range(min(self.streams, len(self.parts)))]
        for stream in aside:
            stream.wait_stream(now)
        for k, part in enumerate(self.parts):
            with cuda.stream(aside[k % len(aside)] if aside else now):
                for later in range(steps):
                    self.descend(part, slice(k * self.each, (k + 1) * self.each), later)
        for stream in aside:
            now.wait_stream(stream)
        self.clock += steps

    def descend(self, part: ReferenceSession, runs: slice, later: int) -> None:
        """The step of some runs that comes ``later`` than the clock shows."""
        now = self.clock + later
        row = now % ROWS
        class_weights = self.class_weights[:, runs].index_select(0, row)[0]
        part.descend(now, class_weights, self.rates[:, runs].index_select(0, row)[0])

    def capture(self) -> dict[int, Callable[[], None]]:
        """Graphs of several steps and of one, by their length."""
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
            for steps in self.lengths:
                graphs[steps] = cuda.CUDAGraph()
                with cuda.graph(graphs[steps], pool=pool):
                    self.take(steps)
        with torch.no_grad():
            for value, saved in zip(state, before, strict=True):
                value.copy_(saved)
        return {steps: graph.replay for steps, graph in graphs.items()}

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        while len(rates):
            row = self.step % ROWS
            some = min(len(rates), ROWS - row)
            for part in self.parts:
                if part.minibatches is not None:  # the order of samples is the host's
                    epoch, place = divmod(self.step, part.minibatches.per_epoch)
                    part.minibatches.begin(epoch)
                    some = min(some, part.minibatches.per_epoch - place)
            self.class_weights[row : row + some] = class_weights[:some]
            self.rates[row : row + some] = rates[:some]
            self.graphs = self.graphs or self.capture()
            left = some
            for steps, replay in self.graphs.items():
                for _ in range(left // steps):
                    replay()
                left %= steps
            self.step += some
            class_weights, rates = class_weights[some:], rates[some:]
        if self.device.type == "cuda":  # else the driver would measure, and pile up, launches
            torch.cuda.synchronize(self.device)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        each = [part.weights() for part in self.parts]
        return {name: np.concatenate([one[name] for one in each]) for name in each[0]}

    def tensors(self) -> dict[str, Tensor]:
        if not self.streams:
            return self.parts[0].tensors()
        each = [part.tensors() for part in self.parts]
        return {f"{k}/{name}": one for k, part in enumerate(each) for name, one in part.items()}

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        super().restore(step, state)
        self.clock.fill_(step)
