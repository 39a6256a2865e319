"""What is recorded along a training: at which steps, and how it is measured.

Any engine trains between records. What an engine does not know is measured by a reference
session that takes its weights: the largest Hessian eigenvalues, the neural tangent kernel, the
loss F at any time.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray

from dynsweep.config import ObserveConfig
from dynsweep.curvature.ntk import chosen
from dynsweep.engines.base import Session
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceSession
from dynsweep.store.trajectories import WEIGHTS
from dynsweep.store.trajectory import Columns, Trajectory


def record_steps(observe: ObserveConfig, steps: int) -> list[int]:
    """The steps after which metrics are recorded: increasing, 0 and ``steps`` among them.

    Log spacing is that of ``step + 1``; records that would fall on one step are one record.
    """
    if observe.records == 0:
        return []
    if observe.spacing == "log":
        exact = np.geomspace(1, steps + 1, observe.records) - 1
    else:
        exact = np.linspace(0, steps, observe.records)
    return sorted({*np.rint(exact).astype(int).tolist(), steps})


class Observer:
    """Records a training of ``batch``; quantities are named as their columns.

    Attributes:
        stops: the steps at which something is due, increasing; the last step is among them.
        trajectory: what was recorded, by step and column, each value of shape ``(runs, ...)``.
    """

    def __init__(self, batch: Batch, device: str) -> None:
        self.batch, self.device, self.observe = batch, device, batch.first.observe
        self.trajectory = Trajectory()
        self.probe: ReferenceSession | None = None
        self.due: dict[int, list[str]] = defaultdict(list)
        observe, steps = self.observe, batch.steps
        for step in record_steps(observe, steps):
            self.due[step].append("metrics")
        for name, every in (
            ("class_accuracy", observe.class_accuracy_every),
            ("sharpness", observe.sharpness.every),
            ("ntk", observe.ntk.every),
            ("snapshot", observe.snapshots_every),
        ):
            for step in range(0, steps, every) if every else ():
                self.due[step].append(name)
            if every:
                self.due[steps].append(name)
        if observe.loss_every:
            marks = {*range(0, steps, observe.loss_every), steps}
            # Differences need the loss one step before as well.
            for step in sorted(marks | {mark - 1 for mark in marks if mark}):
                self.due[step].append("loss")
        self.stops = sorted({*self.due, steps})

    def record(self, session: Session) -> None:
        """Measure what is due now, unless a checkpoint brought it already."""
        step = session.step
        if step in self.trajectory or step not in self.due:
            return
        columns: Columns = {}
        for quantity in self.due[step]:
            columns |= getattr(self, f"_{quantity}")(session)
        self.trajectory.add(step, columns)

    def _probe(self, session: Session) -> ReferenceSession:
        """A reference session with the present weights."""
        if isinstance(session, ReferenceSession):
            return session
        if self.probe is None:
            self.probe = ReferenceSession(self.batch, self.device)
        if self.probe.step != session.step or session.step == 0:
            self.probe.load(session.step, session.weights())
        return self.probe

    def _metrics(self, session: Session) -> Columns:
        return dict(vars(session.evaluate()))

    def _loss(self, session: Session) -> Columns:
        """F(W_t, t), its difference to that of the step before, and the weights G_i(t)."""
        probe, step = self._probe(session), session.step
        with torch.no_grad():
            loss = probe.whole_loss(step).double().cpu().numpy()
        columns: Columns = {"loss": loss}
        before = self.trajectory.get(step - 1, {}).get("loss")
        if before is not None:
            columns["loss_change"] = loss - before
        for k, weight in enumerate(probe.class_weights(step).cpu().numpy().T):
            columns[f"weight_{k}"] = weight
        return columns

    def _class_accuracy(self, session: Session) -> Columns:
        right, labels = self._probe(session).right_answers()
        return {
            f"train_accuracy_{k}": right[:, labels == k].mean(axis=1)
            for k in range(self.batch.dataset.classes)
        }

    def _sharpness(self, session: Session) -> Columns:
        wanted, probe = self.observe.sharpness, self._probe(session)
        columns: Columns = {}
        for static in (False, True):
            if wanted.of == ("loss" if static else "static"):
                continue
            found = probe.sharpness(
                session.step, static, wanted.samples, count=wanted.count,
                tolerance=wanted.tolerance, order=wanted.order,
            )  # fmt: skip
            name = "static_sharpness" if static else "sharpness"
            columns |= _numbered(name, found.values.numpy())
            columns[f"{name}_residual"] = found.residuals.numpy()[:, 0]
        return columns

    def _ntk(self, session: Session) -> Columns:
        wanted = self.observe.ntk
        samples = chosen(self.batch.dataset.train_labels, wanted.samples, wanted.choice)
        theta = self._probe(session).ntk(samples).double().cpu()
        finite = theta.isfinite().all(dim=(1, 2))
        values = torch.linalg.eigvalsh(torch.where(finite[:, None, None], theta, 0.0)).flip(1)
        values[~finite] = torch.nan
        return _numbered("ntk", values[:, : wanted.count].numpy())

    def _snapshot(self, session: Session) -> Columns:
        return {WEIGHTS + name: value for name, value in session.weights().items()}


def _numbered(name: str, values: NDArray[np.generic]) -> Columns:
    """``(runs, count)`` as columns ``name``, ``name_2``, ``name_3``..."""
    return {f"{name}_{k}" if k > 1 else name: one for k, one in enumerate(values.T, start=1)}
