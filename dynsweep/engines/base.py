"""What every engine offers: sessions that step, and a list of what it can train.

The driver (:mod:`dynsweep.training.driver`) knows engines only through these protocols. It
advances a session in chunks of steps, so that progress, Ctrl-C and recording work with any engine
and no engine has to know about them. Of class weights and learning rates an engine sees tables:
where they come from (:mod:`dynsweep.training.schedules`) is not its business either.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.config import RunConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.capabilities import Capabilities


class Session(Protocol):
    """The training of one batch, between step 0 and the last.

    Attributes:
        step: how many steps were taken.
    """

    step: int

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        """Take the next steps. How a training is cut into calls changes no bit of it.

        Args:
            class_weights: G_i(t) of each step, shape ``(steps, runs, classes)``.
            rates: learning rates, shape ``(steps, runs)``. Both are of the batch's ``dtype``, on
                the session's device, and in memory best ordered by runs first.
        """
        ...

    def metrics(self) -> Mapping[str, NDArray[np.float64]]:
        """Those of :data:`dynsweep.metrics.COLUMNS` that the engine measures faster than PyTorch
        would, each ``(runs,)``; most leave all of them to the driver."""
        return {}

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
    """A way to train batches.

    Attributes:
        trains: what it can train.
    """

    name: str
    trains: Capabilities

    def obstacle(self, run: RunConfig, device: str) -> str | None:
        """Why this engine cannot train runs like ``run`` on ``device``; ``None`` if it can.

        Looks at no batched setting but through ``trains``.
        """
        ...

    def batch_size(self, run: RunConfig, device: str) -> int:
        """How many runs like ``run`` to train together: as many as are of use and fit."""
        ...

    def begin(self, batch: Batch, device: str) -> Session:
        """A session at step 0, with each run's initial weights."""
        ...
