"""What every engine offers: a session that trains one batch and can be looked at.

The driver (``dynsweep.training.driver``) knows engines only through these two protocols. It
advances a session in chunks of steps, so that progress, Ctrl-C and recording work with any
engine and no engine has to know about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dynsweep.config import RunConfig
from dynsweep.engines.batches import Batch


@dataclass(frozen=True)
class Metrics:
    """Static (unweighted) mean cross-entropy and accuracy of each run, shape ``(runs,)``.

    Samples whose logits are not finite count as wrong.
    """

    train_loss: NDArray[np.float64]
    train_accuracy: NDArray[np.float64]
    validation_loss: NDArray[np.float64]
    validation_accuracy: NDArray[np.float64]


class Session(Protocol):
    """The training of one batch, between step 0 and the last."""

    step: int

    def advance(self, steps: int) -> None:
        """Train ``steps`` more steps. How a training is cut into calls changes no bit of it."""
        ...

    def evaluate(self) -> Metrics:
        """Loss and accuracy at the present weights."""
        ...

    def weights(self) -> dict[str, NDArray[np.floating]]:
        """Copies of the present weights in the layout of ``Model.init``, with a leading
        ``runs`` axis, in the batch's precision."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of all that the session needs to go on, besides the step."""
        ...

    def restore(self, step: int, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a :meth:`state` after ``step`` steps, to the bit."""
        ...


class Engine(Protocol):
    """A way to train batches."""

    name: str

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        """Why this engine cannot train runs like ``run`` on ``device``; ``None`` if it can."""
        ...

    def batch_size(self, run: RunConfig, device: str) -> int:
        """How many runs like ``run`` to train together: as many as are of use and fit."""
        ...

    def begin(self, batch: Batch, device: str) -> Session:
        """A session at step 0, with each run's initial weights."""
        ...


def beyond_plain(run: RunConfig) -> str | None:
    """What of ``run`` an engine of plain full-batch gradient descent cannot do; or ``None``."""
    if not run.optimizer.plain:
        return "trains on full batches, without momentum, weight decay or schedule"
    if run.loss.name != "cross_entropy":
        return f"trains with the loss cross_entropy, not {run.loss.name}"
    if run.loss.static_end:
        return f"trains with loss.static_end=0, not {run.loss.static_end}"
    if run.precision not in ("float32", "float64"):
        return f"trains with precision=float32 or float64, not {run.precision}"
    return None
