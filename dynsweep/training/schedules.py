"""Class weights and learning rates at every step: the tables by which all engines step."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import ScheduleConfig
from dynsweep.engines import Session
from dynsweep.engines.batches import Batch
from dynsweep.loss import class_weights, drawn_classes, own_class_weights
from dynsweep.training.probe import Probe

TABLE = 2**24  # numbers of a table, at most: 64 MB in float32
BLOCK = 2**14  # numbers that the CPU computes at a time: what stays in its caches
# Shared by all runs of a batch.
LAW = ("last_period_static", "static_end", "counting", "shape", "order")
ORDER = 10  # products with the Hessian in a measurement of the sharpness


def factor(schedule: ScheduleConfig, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at ``step``, from 0 to ``steps - 1``.

    With ``x = step / steps`` and ``w`` the warm-up, the factor rises as ``x / w`` up to 1 at
    ``w``. Then it is

    - constant: 1;
    - linear: falls from 1 to ``final`` at the end;
    - cosine: falls from 1 to ``final`` along half a cosine;
    - piecewise: ``schedule.factor`` to the power of the milestones passed.
    """
    x = step / steps
    if x < schedule.warmup:
        return x / schedule.warmup
    if schedule.name == "piecewise":
        return float(schedule.factor ** sum(x >= mark for mark in schedule.milestones))
    left = (1 - x) / (1 - schedule.warmup)  # from 1 to 0
    if schedule.name == "linear":
        return schedule.final + (1 - schedule.final) * left
    if schedule.name == "cosine":
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * (1 - left))) / 2
    return 1.0


class Schedule:
    """The tables of a batch, on the session's device; the probe measures the sharpness, for the
    learning rates that follow it."""

    def __init__(self, batch: Batch, device: str, probe: Probe | None = None) -> None:
        self.batch, self.run, self.steps = batch, batch.first, batch.steps
        self.runs, self.classes = len(batch), batch.dataset.classes
        self.device, self.dtype = torch.device(device), getattr(torch, self.run.dtype)
        self.probe = probe or Probe(batch, device)
        self.lr = torch.as_tensor(batch.array("optimizer.lr")).to(self.device, self.dtype)
        self.multiple = torch.ones_like(self.lr)  # of lr, where it follows the sharpness
        self.period, self.amplitude = (
            torch.as_tensor(batch.array(f"loss.{name}")).to(self.device, torch.float64)[:, None]
            for name in ("period", "amplitude")
        )
        self.own = self.run.loss.code().call if self.run.loss._target_ else None  # of the user's
        self.drawn = self._drawn(batch) if self.run.loss.order == "random" else None

    def _drawn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Drawn classes of every cycle, ``(seeds, cycles)``, and each run's row, ``(runs, 1)``.

        A table for the whole training: how that is cut into chunks and batches changes nothing.
        """
        seeds, rows = np.unique(batch.array("seed"), return_inverse=True)
        cycles = self.steps // int(self.period.min()) + 1
        table = np.stack([drawn_classes(int(seed), cycles, self.classes) for seed in seeds])
        kept = torch.as_tensor(table.astype(np.int16))
        return kept.to(self.device), torch.as_tensor(rows).to(self.device)[:, None]

    @property
    def follows(self) -> bool:
        """Whether the learning rate follows the sharpness."""
        return self.run.optimizer.schedule.name == "sharpness"

    def advance(self, session: Session, steps: int) -> None:
        """Take so many steps with ``session``, a table of bounded size at a time."""
        end = session.step + steps
        while session.step < end:
            some = min(end - session.step, max(1, TABLE // (self.runs * self.classes)))
            if self.follows:
                every = self.run.optimizer.schedule.every
                if session.step % every == 0:
                    self.follow(session)
                some = min(some, every - session.step % every)
            session.advance(self.class_weights(session.step, some), self.rates(session.step, some))

    def class_weights(self, first: int, steps: int = 1) -> Tensor:
        """G_i(t) of ``steps`` steps from ``first``, shape ``(steps, runs, classes)``."""
        table = torch.empty(self.runs, steps, self.classes, dtype=self.dtype, device=self.device)
        times = torch.arange(first, first + steps, dtype=torch.float64, device=self.device)
        drawn = self.drawn or (self.period, self.period)  # of other orders, not looked at
        arrays: list[Any] = [table, times, self.period, self.amplitude, *drawn]
        size = self.runs
        if self.device.type == "cpu":  # where NumPy is several times faster than PyTorch
            arrays, size = [tensor.numpy() for tensor in arrays], max(1, BLOCK // steps)
        values, times, period, amplitude, classes, rows = arrays
        if self.own is not None:
            return self._own_class_weights(self.own, first, steps)
        law = {name: getattr(self.run.loss, name) for name in LAW}
        for start in range(0, self.runs, size):
            block = slice(start, start + size)
            numbers = period[block], amplitude[block], self.classes
            drawn = classes, rows[block]
            values[block] = class_weights(times, *numbers, steps=self.steps, drawn=drawn, **law)
        return table.transpose(0, 1)

    def _own_class_weights(self, function: Callable[..., Any], first: int, steps: int) -> Tensor:
        """As :meth:`class_weights`, by a function that is asked run by run."""
        times = np.arange(first, first + steps, dtype=np.float64)
        table = torch.empty(self.runs, steps, self.classes, dtype=torch.float64)
        for row, run in enumerate(self.batch.runs):
            weights = own_class_weights(
                function, times, run.loss.period, run.loss.amplitude, self.classes,
                steps=self.steps, seed=run.seed, static_end=run.loss.static_end,
                last_period_static=run.loss.last_period_static, settings=run.loss.settings,
            )  # fmt: skip
            table[row] = torch.from_numpy(weights)
        return table.to(self.device, self.dtype).transpose(0, 1)

    def rates(self, first: int, steps: int) -> Tensor:
        """Learning rates of ``steps`` steps from ``first``, shape ``(steps, runs)``."""
        schedule = self.run.optimizer.schedule
        if self.follows or (schedule.name == "constant" and not schedule.warmup):
            return (self.lr * self.multiple).expand(steps, -1)
        factors = [factor(schedule, step, self.steps) for step in range(first, first + steps)]
        return torch.tensor(factors, dtype=torch.float64).to(self.lr)[:, None] * self.lr

    def follow(self, session: Session) -> None:
        """Measure the sharpness of F(t), and set the learning rates to a part of 2 / sharpness."""
        schedule = self.run.optimizer.schedule
        self.probe.load(session)
        weights = self.class_weights(session.step)[0]
        values = self.probe.sharpness(weights, order=ORDER).values[:, 0].to(self.lr)
        wanted = schedule.fraction * 2 / (values.clamp_min(1e-12) * self.lr)
        wanted = wanted.clamp(schedule.lowest, schedule.highest)
        # A run that diverged keeps its rate.
        self.multiple = torch.where(wanted.isfinite(), wanted, self.multiple)

    def state(self) -> dict[str, NDArray[Any]]:
        """What a checkpoint has to hold, besides the session's own state."""
        return {"rate": self.multiple.cpu().numpy().copy()} if self.follows else {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        if self.follows:
            self.multiple = torch.as_tensor(state["rate"]).to(self.lr)
