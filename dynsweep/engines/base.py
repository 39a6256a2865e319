"""What every engine offers: sessions that step, and a closed list of what it can train.

The driver (:mod:`dynsweep.training.driver`) knows engines only through these classes. It
advances a session in chunks of steps, so that progress, Ctrl-C and recording work with any engine.
Of class weights and learning rates an engine sees the tables that
:mod:`dynsweep.training.schedules` makes.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import RunConfig, Setting
from dynsweep.config.run import settings_of
from dynsweep.engines.batches import Batch

NAMES = ("model.name", "dataset.name")  # defaults of their own groups: no engine has them unasked
ANY = None
# The settings that may differ from their defaults, and the values that an engine can train, by
# dotted name, or group as in ``model.*``, or ``*``. What is not listed decides a result in a way
# that the engine knows nothing of, and the run goes to another: none is ever ignored.
Capabilities = Mapping[str, Sequence[Any] | None]

EVERYTHING: Capabilities = {"*": ANY}

# What only decides the tables of class weights and learning rates is the same to every engine.
TABLES: Capabilities = dict.fromkeys(
    [
        "loss.period", "loss.amplitude", "loss.shape", "loss.order", "loss.counting",
        "loss._target_", "loss.settings", "loss.content", "loss.last_period_static",
        "loss.static_end", "optimizer.lr", "optimizer.schedule.*",
        "steps", "epochs", "seed",
    ],
    ANY,
)  # fmt: skip

# Full-batch gradient descent on points with one hidden layer: the fast engines.
SIMPLE: Capabilities = {
    **TABLES,
    **dict.fromkeys(
        [
            "model.width", "model.init", "model.bias",
            "dataset.classes", "dataset.samples_per_class", "dataset.validation_samples_per_class",
            "dataset.noise", "dataset.revolutions", "dataset.seed",
            "dataset.content", "dataset.label", "dataset.inputs", "dataset.validation",
            "dataset.standardize", "dataset._target_", "dataset.settings",
        ],
        ANY,
    ),
    "model.name": ["mlp"],
    "dataset.name": ["spirals", "table", "own"],
    "precision": ["float32", "float64"],
}  # fmt: skip


def allowed(capabilities: Capabilities, setting: Setting) -> Sequence[Any] | None:
    """The values of a setting that an engine can train; ``ANY`` if all."""
    if not setting.identity:
        return ANY
    for name in (setting.name, f"{setting.name.rpartition('.')[0]}.*", "*"):
        if name in capabilities:
            return capabilities[name]
    return [] if setting.name in NAMES else [setting.default]


def unlisted(capabilities: Capabilities, run: RunConfig) -> str | None:
    """In a line, the first setting of ``run`` that an engine cannot train; ``None``: it can."""
    settings = settings_of(run.dataset.name, run.model.name)
    for name in (*NAMES, *settings):
        values, value = allowed(capabilities, settings[name]), attrgetter(name)(run)
        if values is not ANY and value not in values:
            shown = name.removesuffix(".name") if name in NAMES else name
            can, cannot = " or ".join(map(_text, values)), _text(value)
            return f"trains with {shown}={can}, not {f'{shown}=' * (name in NAMES)}{cannot}"
    return None


def _text(value: Any) -> str:
    return "null" if value is None else str(value)


class Session:
    """The training of one batch, between step 0 and the last; ``step`` were taken.

    It begins with each run's initial weights.
    """

    def __init__(self, batch: Batch, device: str) -> None:
        self.step, self.runs = 0, len(batch)
        self.device, self.dtype = torch.device(device), getattr(torch, batch.first.dtype)

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        """Take the next steps. How a training is cut into calls changes no bit of it.

        Args:
            class_weights: G_i(t) of each step, shape ``(steps, runs, classes)``.
            rates: learning rates, shape ``(steps, runs)``. Both are of the batch's ``dtype``, on
                the session's device, and in memory best ordered by runs first.
        """
        raise NotImplementedError

    def metrics(self) -> Mapping[str, NDArray[np.float64]]:
        """Those of :data:`dynsweep.metrics.COLUMNS` that the engine measures faster than PyTorch
        would, each ``(runs,)``; most leave all of them to the driver."""
        return {}

    def weights(self) -> dict[str, NDArray[np.floating]]:
        """Copies of the present weights in the layout of ``Model.init``, with a leading
        ``runs`` axis, in the batch's precision."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        """All that the session needs to go on, besides the step, where it keeps it."""
        raise NotImplementedError

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of :meth:`tensors`."""
        return {name: value.cpu().numpy().copy() for name, value in self.tensors().items()}

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a :meth:`state` after ``step`` steps, to the bit."""
        self.step = step
        for name, value in self.tensors().items():
            value.copy_(torch.as_tensor(state[name]))


class Engine:
    """A way to train batches.

    Attributes:
        trains: what it can train.
        session: the class of its sessions.
        one_by_one: whether a batch takes as long as its runs one after the other, on all threads.
    """

    name: str
    trains: Capabilities
    session: type[Session]
    one_by_one = False

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        """Why this engine cannot train runs like ``run`` on ``device``; ``None`` if it can.

        Looks at no batched setting but through ``trains``.
        """
        raise NotImplementedError

    def batch_size(self, run: RunConfig, device: str) -> int:
        """How many runs like ``run`` to train together: as many as are of use and fit."""
        raise NotImplementedError

    def memory(self, run: RunConfig) -> int:
        """Bytes that training one run like ``run`` takes, alone and about; 0 where that is
        nothing to speak of."""
        return 0

    def begin(self, batch: Batch, device: str) -> Session:
        """A session at step 0."""
        return self.session(batch, device)


def hidden_units(batch: Batch) -> tuple[Tensor, Tensor]:
    """Initial weights of the one-hidden-layer model by hidden unit, float64 on the CPU.

    Returns:
        Rows ``(runs, inputs + 1 + classes, width)``, of each unit the incoming weights, the bias,
        and the outgoing weights; and output biases ``(runs, classes)``. Absent biases are 0.
    """
    params = batch.initial_weights()
    incoming, outgoing = params["w1"], params["w2"].mT
    bias = params.get("b1", torch.zeros_like(incoming[:, 0])).unsqueeze(1)
    rows = torch.cat([incoming, bias, outgoing], dim=1)
    return rows, params.get("b2", torch.zeros_like(outgoing[:, :, 0]))


def named_weights(
    rows: NDArray[np.floating], output_bias: NDArray[np.floating], inputs: int, bias: bool
) -> dict[str, NDArray[np.floating]]:
    """Copies by name of the weights that :func:`hidden_units` put into rows; other rows may stand
    between those of the bias and of the outgoing weights."""
    outgoing = rows[:, -output_bias.shape[1] :]
    weights = {"w1": rows[:, :inputs], "w2": outgoing.swapaxes(1, 2)}
    if bias:
        weights |= {"b1": rows[:, inputs], "b2": output_bias}
    return {name: value.copy() for name, value in weights.items()}
