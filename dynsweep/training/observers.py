"""What is recorded along a training: at which steps, and under which names.

Any engine trains between records; what it does not measure itself is measured by a probe.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from dynsweep.config import ObserveConfig
from dynsweep.curvature.landscape import oriented, places, valley
from dynsweep.curvature.ntk import chosen
from dynsweep.engines import Session
from dynsweep.engines.batches import Batch
from dynsweep.store import WEIGHTS, Columns, Trajectory
from dynsweep.training.probe import Probe, measure
from dynsweep.training.schedules import Schedule

# Of the loss: the whole, and what the emphasised classes and the others add to it.
PARTS = ("", "_emphasised", "_others")


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


def sharpness_steps(observe: ObserveConfig, steps: int) -> set[int]:
    """The steps after which the sharpness is measured: every so many and the end of the training,
    as far as they lie between the first and the last."""
    wanted = observe.sharpness
    last = steps if wanted.last is None else wanted.last
    due = {*range(wanted.first, steps, wanted.every), steps}
    return {step for step in due if wanted.first <= step <= last}


class Observer:
    """Records a training of ``batch``; quantities are named as their columns.

    Attributes:
        stops: the steps at which something is due, increasing; the last step is among them.
        trajectory: what was recorded, by step and column, each value of shape ``(runs, ...)``.
    """

    def __init__(self, batch: Batch, schedule: Schedule, probe: Probe) -> None:
        self.batch, self.schedule, self.probe = batch, schedule, probe
        self.trajectory = Trajectory()
        observe, steps = batch.first.observe, batch.steps
        intervals = {
            "class_accuracy": observe.class_accuracy_every,
            "ntk": observe.ntk.every,
            "landscape": observe.landscape.every,
            "snapshot": observe.snapshots_every,
            "loss": observe.loss_every,
        }
        self.due = {"metrics": set(record_steps(observe, steps))} | {
            name: {*range(0, steps, every), steps} for name, every in intervals.items() if every
        }
        if observe.sharpness.every:
            self.due["sharpness"] = sharpness_steps(observe, steps)
        # Differences need the loss one step before as well.
        self.due["loss"] = {
            step - k for step in self.due.get("loss", ()) for k in (0, 1) if step >= k
        }
        self.stops = sorted({steps}.union(*self.due.values()))

    def record(self, session: Session) -> None:
        """Measure what is due now, unless a checkpoint brought it already."""
        step = session.step
        due = [quantity for quantity, steps in self.due.items() if step in steps]
        if step in self.trajectory or not due:
            return
        if not {"metrics", "snapshot"}.issuperset(due):
            self.probe.load(session)
        columns: Columns = {}
        for quantity in due:
            columns |= self.measure(quantity, session)
        self.trajectory.add(step, columns)

    def measure(self, quantity: str, session: Session) -> Columns:
        """A quantity of ``due``, at the session's present weights, which the probe has."""
        columns: Columns = getattr(self, f"_{quantity}")(session)
        return columns

    def _metrics(self, session: Session) -> Columns:
        return dict(measure(session, self.probe))

    def _snapshot(self, session: Session) -> Columns:
        return {WEIGHTS + name: value for name, value in session.weights().items()}

    def _loss(self, session: Session) -> Columns:
        """F(W_t, t), its difference to that of the step before, the weights G_i(t) and, where it
        follows the curvature, the learning rate of the step that led here."""
        weights = self.schedule.class_weights(session.step)[0]
        with torch.no_grad():
            loss = self.probe.loss(weights).double().cpu().numpy()
        columns: Columns = {"loss": loss}
        before = self.trajectory.get(session.step - 1, {}).get("loss")
        if before is not None:
            columns["loss_change"] = loss - before
        if self.schedule.follows and session.step:
            columns["learning_rate"] = self.schedule.rates(session.step - 1, 1)[0].cpu().numpy()
        return columns | _numbered("weight", weights.cpu().numpy())

    def _class_accuracy(self, session: Session) -> Columns:
        return _numbered("train_accuracy", self.probe.class_accuracy())

    def _sharpness(self, session: Session) -> Columns:
        wanted = self.batch.first.observe.sharpness
        columns: Columns = {}
        for of, name, weights in (
            ("loss", "sharpness", self.schedule.class_weights(session.step)[0]),
            ("static", "static_sharpness", None),
        ):
            if wanted.of in (of, "both"):
                found = self.probe.sharpness(
                    weights, wanted.samples, count=wanted.count,
                    tolerance=wanted.tolerance, order=wanted.order,
                )  # fmt: skip
                columns |= _ranked(name, found.values.numpy())
                columns[f"{name}_residual"] = found.residuals.numpy()[:, 0]
        return columns

    def _ntk(self, session: Session) -> Columns:
        wanted = self.batch.first.observe.ntk
        samples = chosen(self.batch.dataset.train_labels, wanted.samples, wanted.choice)
        theta = self.probe.ntk(samples).double().cpu()
        finite = theta.isfinite().all(dim=(1, 2))
        values = torch.linalg.eigvalsh(torch.where(finite[:, None, None], theta, 0.0)).flip(1)
        values[~finite] = torch.nan
        return _ranked("ntk", values[:, : wanted.count].numpy())

    def _landscape(self, session: Session) -> Columns:
        """Profiles of F along the first eigenvector, whole and in parts, and along a random
        direction; and their valleys."""
        wanted, step = self.batch.first.observe.landscape, session.step
        now = self.schedule.class_weights(step)[0]
        # At the start of a cycle all weights are 1, and the next step tells.
        then = self.schedule.class_weights(min(step + 1, self.batch.steps))[0]
        emphasised = now + then > 2 + 1e-5
        top = self.probe.sharpness(now)
        columns: Columns = {"valley_sharpness": top.values.numpy()[:, 0]}
        for end, reach, direction, parts in (
            ("", wanted.reach, top.vector, PARTS),
            ("_random", wanted.random_reach, self.probe.random_direction, PARTS[:1]),
        ):
            a = places(reach, wanted.points)
            profiles = self.probe.profile(direction, a, now, emphasised)
            profiles[1:, ~emphasised.any(dim=1).cpu().numpy()] = np.nan  # a static loss
            if not end:
                profiles = oriented(profiles)
            profiles = profiles[: len(parts)]
            measured = valley(a, profiles, wanted.height)
            for row, part in enumerate(parts):
                for name, values in measured._asdict().items():
                    if name != ("position" if part else "tilt"):  # equal in all; 0
                        columns[f"valley_{name}{part}{end}"] = values[row]
                columns |= _numbered(f"profile{part}{end}", profiles[row])
        return columns


def _numbered(name: str, values: NDArray[np.generic]) -> Columns:
    """``(runs, classes)`` as columns ``name_0``, ``name_1``..."""
    return {f"{name}_{k}": column for k, column in enumerate(values.T)}


def _ranked(name: str, values: NDArray[np.generic]) -> Columns:
    """``(runs, count)`` as columns ``name``, ``name_2``, ``name_3``..."""
    return {f"{name}_{k}" if k > 1 else name: one for k, one in enumerate(values.T, start=1)}
