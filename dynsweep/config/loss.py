"""Settings of the loss."""

from dataclasses import dataclass

from dynsweep.loss import SHAPES
from dynsweep.settings import setting

LOSSES = ("cross_entropy", "mean_squared_error")


@dataclass(unsafe_hash=True)
class LossConfig:
    """Dynamical cross-entropy or mean squared error; amplitude 1 is the ordinary static loss."""

    name: str = setting("cross_entropy", "what is weighted by class", choices=LOSSES)
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
        "triangle", "how the weight rises and falls within a cycle", choices=SHAPES, dynamical=True
    )
    last_period_static: bool = setting(
        True,
        "equal weights over the last T steps, so that accuracy is not read mid-swing",
        dynamical=True,
    )
    static_end: float = setting(
        0.0,
        "equal weights over this last fraction of the training as well",
        least=0,
        most=1,
        dynamical=True,
    )
    counting: str = setting(
        "paper",
        "paper: cycles of T steps; notebook: of T + 1 steps, as in the authors' notebook",
        choices=("paper", "notebook"),
        dynamical=True,
    )
