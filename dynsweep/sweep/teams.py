"""The runs that one engine trains, and the checks before: that all can be trained at all."""

import logging
from collections.abc import Sequence

from dynsweep.config import Run, RunConfig
from dynsweep.data import load
from dynsweep.engines import choose, group
from dynsweep.engines.batches import total_steps
from dynsweep.engines.devices import resolve_device
from dynsweep.errors import ConfigError

log = logging.getLogger(__name__)


def check(runs: Sequence[Run], here: bool = True) -> None:
    """Raise :class:`ConfigError` for the first setting out of range, or that cannot be had.

    Where the grid is not to be trained on a machine like this one (``here``), CUDA is taken on
    trust.
    """
    for run in runs:
        run.settings.check()
    settings = [run.settings for run in runs]
    for positions in group(settings):
        first = settings[positions[0]]
        if here or first.device == "cpu":
            choose(first, resolve_device(first.device))
        samples = len(load(first.dataset).train_labels)
        size = first.optimizer.batch_size
        if size is not None and size > samples:
            allowed = f"must be at most {samples}, the size of the training set"
            raise ConfigError("optimizer.batch_size", size, allowed)


def warn(runs: Sequence[Run]) -> None:
    """Tell of runs that are something else than they seem."""
    if short := sum(_never_oscillates(run.settings) for run in runs):
        text = "%d of %d runs have a period of at least their steps, and equal class weights over "
        text += "the last period (loss.last_period_static): they train the static loss"
        log.warning(text, short, len(runs))


def _never_oscillates(run: RunConfig) -> bool:
    loss = run.loss
    return loss.amplitude != 1 and loss.last_period_static and loss.period >= total_steps(run)


class Team:
    """Runs that one engine trains, in batches.

    Attributes:
        waiting: leaders that are still to be trained.
        size: how many train together; less once memory was found short.
    """

    def __init__(self, waiting: list[int], first: RunConfig) -> None:
        self.waiting, self.first = waiting, first
        self.device = resolve_device(first.device)
        self.engine = choose(first, self.device)
        self.size = first.engine.batch_size or self.engine.batch_size(first, self.device)
        self._said = False

    def say(self, count: int) -> None:
        """Once, what is trained and how."""
        if not self._said:
            self._said = True
            log.info(
                "Training %d %s (%s, width %d, %d steps): %s engine on %s, up to %d together",
                count, "runs" if count > 1 else "run", self.first.model.name,
                self.first.model.width, total_steps(self.first), self.engine.name, self.device,
                self.size,
            )  # fmt: skip
