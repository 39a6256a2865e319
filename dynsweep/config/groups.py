"""The groups of settings besides dataset and model: loss, optimizer, engine, observe."""

import itertools
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from dynsweep.errors import ConfigError
from dynsweep.lazy import np
from dynsweep.loss import ORDERS, SHAPES, own_class_weights
from dynsweep.own import NONE, Code, find, raised
from dynsweep.settings import follows, replaced, setting

place = partial(setting, place=True)
OWN = "own"  # the shape of class weights that a function of the user's gives
interval = partial(place, 0, least=0)


@dataclass(unsafe_hash=True)
class LossConfig:
    """Dynamical cross-entropy or mean squared error; amplitude 1 is the ordinary static loss."""

    name: str = setting(
        "cross_entropy",
        "what is weighted by class",
        choices=("cross_entropy", "mean_squared_error"),
    )
    period: int = setting(
        200,
        "T in steps: each cycle emphasises one class",
        least=1,
        short="period",
        symbol="T",
        label="period T (steps)",
        batched=True,
        dynamical=True,
    )
    amplitude: float = setting(
        20.0,
        "A, at least 1: the largest weight of the emphasised class over the others'; 1 is static",
        least=1,
        short="amplitude",
        symbol="A",
        label="amplitude A",
        batched=True,
    )
    shape: str = setting(
        "triangle",
        "how the weight rises and falls within a cycle; own: as _target_ says",
        choices=(*SHAPES, OWN),
        dynamical=True,
    )
    order: str = setting(
        "cyclic",
        "what a cycle emphasises: each class in turn; a class drawn by the seed; all but one",
        choices=ORDERS,
        dynamical=True,
    )
    last_period_static: bool = setting(
        True, "equal weights over the last T, so that accuracy is not mid-swing", dynamical=True
    )
    static_end: float = setting(
        0.0, "equal weights over this last part of the training", least=0, most=1, dynamical=True
    )
    counting: str = setting(
        "paper",
        "paper: cycles of T steps; notebook: of T + 1 steps, as in the authors' notebook",
        choices=("paper", "notebook"),
        dynamical=True,
    )
    _target_: str | None = setting(
        None,
        "a function of yours for the class weights, as in module.function",
        symbol="class weights",
        dynamical=True,
    )
    settings: dict[str, Any] = setting(NONE, "its arguments", dynamical=True)  # noqa: RUF009
    content: str = follows("", "of its source", dynamical=True)
    folder: str = follows("", "from which its module is imported", place=True)

    def resolved(self) -> "LossConfig":
        """With what is known of the function, if there is one."""
        if self._target_ is None:
            if self.shape == OWN:
                raise ConfigError("loss.shape", OWN, "needs loss._target_=module.function")
            return self
        return _resolved(self, find("loss._target_", self._target_))

    def code(self) -> Code:
        """The function that ``_target_`` names."""
        return find("loss._target_", str(self._target_), self.folder, self.content)

    def trial(self, classes: int, seed: int) -> None:
        """Ask that function for some weights; raise :class:`ConfigError` if these are none."""
        if self._target_ is None:
            return
        steps = np.arange(min(2 * self.period, 1000), dtype=np.float64)
        try:
            own_class_weights(
                self.code().call, steps, self.period, max(self.amplitude, 2.0), classes,
                steps=10**9, seed=seed, settings=self.settings,
            )  # fmt: skip
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError("loss._target_", self._target_, raised(error)) from None


@lru_cache(maxsize=64)
def _resolved(loss: LossConfig, code: Code) -> LossConfig:
    """The same object each time: the runs of a grid share it."""
    return replaced(loss, {"shape": OWN, "content": code.digest, "folder": code.folder})


@dataclass(unsafe_hash=True)
class ScheduleConfig:
    """The factor of the learning rate over the training; see ``dynsweep.training.schedules``.

    Positions are fractions of the training, so that a schedule fits any length.
    """

    name: str = setting(
        "constant",
        "how the learning rate changes",
        choices=("constant", "linear", "cosine", "piecewise", "sharpness"),
    )
    warmup: float = setting(0.0, "the learning rate rises from 0 until here", least=0, below=1)
    final: float = setting(0.0, "where linear and cosine end, as a multiple of lr", least=0)
    milestones: tuple[float, ...] = setting(
        (), "where piecewise multiplies the learning rate by factor, as in [0.5,0.75]"
    )
    factor: float = setting(0.1, "of piecewise, at each milestone", above=0)
    fraction: float = setting(
        0.5, "sharpness: lr becomes this times 2 / (largest Hessian eigenvalue of F)", above=0
    )
    every: int = setting(50, "sharpness: steps between two measurements", least=1)
    lowest: float = setting(0.1, "sharpness: least multiple of lr", above=0)
    highest: float = setting(10.0, "sharpness: largest multiple of lr", above=0)

    def rules(self) -> None:
        if self.highest < self.lowest:
            allowed = f"must be a finite number, at least {self.lowest}"
            raise ConfigError("optimizer.schedule.highest", self.highest, allowed)
        marks = (0.0, *self.milestones, 1.0)
        if any(a >= b for a, b in itertools.pairwise(marks)):
            allowed = "must be increasing fractions of the training, between 0 and 1"
            raise ConfigError("optimizer.schedule.milestones", list(self.milestones), allowed)


@dataclass(unsafe_hash=True)
class OptimizerConfig:
    """Gradient descent, on the full training set or on minibatches of ``batch_size``."""

    name: str = setting("sgd", "gradient descent", choices=("sgd",))
    lr: float = setting(
        1.0, "learning rate", above=0, short="lr", label="learning rate", batched=True
    )
    momentum: float = setting(
        0.0, "v = momentum * v + gradient replaces the gradient", least=0, below=1, batched=True
    )
    nesterov: bool = setting(False, "Nesterov's momentum")
    weight_decay: float = setting(
        0.0, "times the weight, added to the gradient", least=0, batched=True
    )
    batch_size: int | None = setting(None, "samples of a minibatch; null: all", least=1)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def rules(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ConfigError("optimizer.nesterov", True, "needs optimizer.momentum above 0")


@dataclass(unsafe_hash=True)
class EngineConfig:
    """How a batch of runs is trained."""

    name: str = place(
        "auto",
        "auto takes the fastest that can train the run",
        choices=("auto", "compiled", "reference", "triton", "graphed"),
    )
    batch_size: int | None = place(None, "most runs together; null: what fits memory", least=1)
    threads: int | None = place(None, "CPU threads; null: all that there are", least=1)


@dataclass(unsafe_hash=True)
class SharpnessConfig:
    """The largest eigenvalues of the Hessian."""

    every: int = interval("steps between two measurements; 0: never")
    first: int = place(0, "step of the first measurement", least=0)
    last: int | None = place(None, "no measurement after this step; null: to the end", least=0)
    of: str = place(
        "loss", "of F(t), of the static loss, or of both", choices=("loss", "static", "both")
    )
    count: int = place(1, "how many eigenvalues", least=1)
    tolerance: float = place(1e-3, "until a value is known to this part of itself", above=0)
    order: int | None = place(None, "or just so many products (the notebook: 10)", least=1)
    samples: int | None = place(None, "on the first so many samples; null: all", least=1)


@dataclass(unsafe_hash=True)
class NTKConfig:
    """The largest eigenvalues of the empirical neural tangent kernel."""

    every: int = interval("steps between two measurements; 0: never")
    samples: int = place(50, "training samples that the kernel is of", least=1)
    choice: str = place(
        "balanced",
        "as many samples of each class; or the first, as in the authors' notebook",
        choices=("first", "balanced"),
    )
    count: int = place(1, "how many eigenvalues", least=1)


@dataclass(unsafe_hash=True)
class LandscapeConfig:
    """The loss F(W + a v, t) along a line through the weights W."""

    every: int = interval("steps between two profiles F(W + a v, t) over a; 0: never")
    points: int = place(50, "of a profile, on each side of the weights", least=2)
    reach: float = place(
        1.5, "largest a along the eigenvector of the largest Hessian eigenvalue", above=0
    )
    random_reach: float = place(10.0, "largest a along a random direction", above=0)
    height: float = place(0.05, "above the minimum, at which a valley's width is taken", above=0)


@dataclass(unsafe_hash=True)
class ObserveConfig:
    """What is recorded along a run, which changes nothing; each quantity at its own interval."""

    records: int = interval("records of loss and accuracy, from step 0 to the end")
    spacing: str = place("linear", "how these are spaced", choices=("linear", "log"))
    loss_every: int = interval("steps between records of G(t), F(t) and F(t) - F(t-1); 0: never")
    class_accuracy_every: int = interval("of the classes' training accuracy; 0: never")
    snapshots_every: int = interval("of all weights; 0: never")
    sharpness: SharpnessConfig = field(default_factory=SharpnessConfig)
    ntk: NTKConfig = field(default_factory=NTKConfig)
    landscape: LandscapeConfig = field(default_factory=LandscapeConfig)
