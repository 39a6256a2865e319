"""The runs that one engine trains, and the checks before: which of them can be trained at all."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from dynsweep.config import MLPConfig, Run, RunConfig
from dynsweep.data import load
from dynsweep.engines import choose, group
from dynsweep.engines.batches import total_steps
from dynsweep.engines.devices import available_memory, resolve_device
from dynsweep.errors import ConfigError
from dynsweep.sweep.progress import told

log = logging.getLogger(__name__)


Unfit = Mapping[int, ConfigError]  # why runs cannot be trained, by their position in the grid


def check(runs: Sequence[Run], here: bool = True) -> Unfit:
    """Of settings that are each in their range, those that do not go together.

    Where the grid is not to be trained on a machine like this one (``here``), CUDA and memory are
    taken on trust.

    Raises:
        ConfigError: for the first setting out of range, or that cannot be had.
    """
    checked: set[int] = set()
    for run in told(runs, len(runs), "Checking"):
        run.settings.check(checked)
    settings = [run.settings for run in runs]
    unfit: dict[int, ConfigError] = {}
    for positions in group(settings):
        first = settings[positions[0]]
        device = resolve_device(first.device) if here or first.device == "cpu" else None
        if obstacle := _obstacle(first, device):
            unfit |= dict.fromkeys(positions, obstacle)
    return unfit


def _obstacle(run: RunConfig, device: str | None) -> ConfigError | None:
    """Why runs that share all but batched settings with ``run`` cannot be trained."""
    free = available_memory(device) if device else None
    if free is not None and (needed := run.dataset.memory()) > free:
        return ConfigError("dataset", run.dataset.name, _too_large(needed, free))
    data = load(run.dataset)
    try:
        run.loss.trial(data.classes, run.seed)
        model = run.model.build(data.shape, data.classes)
        size, samples = run.optimizer.batch_size, len(data.train_labels)
        if size is not None and size > samples:
            allowed = f"must be at most {samples}, the size of the training set"
            return ConfigError("optimizer.batch_size", size, allowed)
        engine = choose(run, device) if device else None
    except ConfigError as error:
        return error
    if engine and free is not None and (needed := engine.memory(run)) > free:
        text = (
            f"{model.size:.3g} weights; {_too_large(needed, free)}, with the {engine.name} engine"
        )
        return ConfigError("model.width", run.model.width, text)
    return None


def _too_large(needed: int, free: int) -> str:
    return f"needs about {needed / 1e9:.3g} GB of memory, of which {free / 1e9:.3g} GB are free"


def warn(runs: Sequence[Run], unfit: Unfit) -> None:
    """Tell of runs that are something else than they seem, and of those that cannot be trained."""
    reasons = Counter(str(error) for error in unfit.values())
    for reason, count in reasons.items():
        log.warning("%d of %d runs cannot be trained (%s)", count, len(runs), reason)
    fit = [run.settings for place, run in enumerate(runs) if place not in unfit]
    short = sum(map(_never_oscillates, fit))
    if short:
        text = "%d of %d runs have a period of at least their steps, and equal class weights over "
        text += "the last period (loss.last_period_static): they train the static loss"
        log.warning(text, short, len(runs))
    whole = sum(map(_whole_of_images, fit))
    if whole:
        text = "%d of %d runs train a convolutional network with all images at every step "
        text += "(optimizer.batch_size=null); optimizer=minibatch takes minibatches"
        log.warning(text, whole, len(runs))


def _whole_of_images(run: RunConfig) -> bool:
    return run.optimizer.batch_size is None and not isinstance(run.model, MLPConfig)


def optimisation(run: RunConfig) -> str:
    """How the weights of runs like ``run`` are changed, but for what may differ in a batch."""
    size = run.optimizer.batch_size
    name = run.optimizer.name.upper()
    return f"{name} on minibatches of {size:,}" if size else f"{name} on the whole training set"


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
                "Training %d %s (%s, width %d, %d steps, %s): %s engine on %s, up to %d together",
                count, "runs" if count > 1 else "run", self.first.model.name,
                self.first.model.width, total_steps(self.first), optimisation(self.first),
                self.engine.name, self.device, self.size,
            )  # fmt: skip
