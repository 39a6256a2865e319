"""The dynamical loss: cross-entropy or squared error with class weights G that oscillate in time.

Source: Ruiz-Garcia, Zhang, Schoenholz, Liu, "Tilting the playing field: Dynamical loss
functions for machine learning", ICML 2021, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dynsweep.lazy import Tensor, np, torch
from dynsweep.models import seeding

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array = Any  # a NumPy array or a PyTorch tensor


def triangle(x: Array) -> Array:
    """1 - |2 x - 1|: linear, up to half the cycle and back down, as in the paper."""
    return 1 - abs(2 * x - 1)


def sine(x: Array) -> Array:
    """(1 - cos(2 pi x)) / 2: the same, without corners."""
    return (1 - _of(x).cos(2 * math.pi * x)) / 2


def square(x: Array) -> Array:
    """1 for 1/4 <= x < 3/4, else 0: all at once, for the middle half of the cycle."""
    return _of(x).where((x >= 0.25) & (x < 0.75), 1.0, 0.0)


def sawtooth(x: Array) -> Array:
    """x: linear over the whole cycle, and then down at once."""
    return x


# How g rises above 1 within a cycle: from x = s / T, 0 to 1, to values from 0 to 1. The mean of
# each over a cycle is 1/2: they differ in shape alone.
SHAPES: dict[str, Callable[[Array], Array]] = {
    "triangle": triangle,
    "sine": sine,
    "square": square,
    "sawtooth": sawtooth,
}
# What cycle k emphasises: class k mod C; a class drawn anew; all classes but k mod C.
ORDERS = ("cyclic", "random", "all_but_one")


def _of(x: Array) -> Any:
    """The library that an array is of."""
    return torch if isinstance(x, torch.Tensor) else np


def drawn_classes(seed: int, cycles: int, classes: int) -> NDArray[np.int64]:
    """The classes that ``order=random`` emphasises in a run with this seed, shape ``(cycles,)``.

    Independent and uniform: the same class may come twice. Longer trainings begin alike.
    """
    return np.random.default_rng([seed, seeding.ORDER]).integers(classes, size=cycles)


def class_weights(
    step: Array,
    period: Array,
    amplitude: Array,
    classes: int,
    *,
    steps: int,
    last_period_static: bool = True,
    static_end: float = 0.0,
    counting: str = "paper",
    shape: str = "triangle",
    order: str = "cyclic",
    drawn: tuple[Array, Array] | None = None,
) -> Array:
    """The weights G_i(t) of the loss.

    Cycle k = floor(t / T) emphasises class k mod C: with s = t - k T its g rises from 1 to the
    amplitude at s = T / 2 and falls back, g = 1 + (A - 1) shape(s / T); the other classes have
    g = 1. The weights G_i = C g_i / sum_j g_j always sum to C, and are all 1 at A = 1.

    With the order ``random``, the class of cycle k is one that was drawn (:func:`drawn_classes`);
    with ``all_but_one``, class k mod C has g = 1 and the others have that g.

    >>> weights = class_weights(np.arange(3.0), np.array(4.0), np.array(3.0), 3, steps=100)
    >>> weights.round(2).tolist()
    [[1.0, 1.0, 1.0], [1.5, 0.75, 0.75], [1.8, 0.6, 0.6]]

    Args:
        step: times t in minimisation steps, from 0. This and the next two are NumPy arrays or
            PyTorch tensors, float64, whose shapes broadcast.
        period: T of each run, whole numbers of steps.
        amplitude: A of each run, at least 1.
        classes: C.
        steps: length of the training.
        last_period_static: all weights are 1 over the last T of ``steps``.
        static_end: all weights are 1 over this last fraction of ``steps``.
        counting: ``paper``, or ``notebook`` for the authors' notebook, whose counter wraps one
            step late: cycles of T + 1 steps, within which g is that of the paper.
        shape: a name in ``SHAPES``.
        order: one of ``ORDERS``.
        drawn: for ``random``, classes ``(seeds, cycles)``, and which row is each run's: int64, of
            a shape that broadcasts with ``period``.

    Returns:
        Float64, of the shape that the arguments broadcast to, and ``(classes,)`` more.
    """
    xp = _of(period)
    cycle_steps = period if counting == "paper" else period + 1
    cycle = xp.floor(step / cycle_steps)  # exact for whole numbers below 2^52
    g = 1 + (amplitude - 1) * SHAPES[shape]((step - cycle * cycle_steps) / period)
    if last_period_static:
        g = xp.where(step >= steps - period, 1.0, g)
    if static_end:
        g = xp.where(step >= steps * (1 - static_end), 1.0, g)
    ones = xp.ones_like(g)
    alone, others = (ones, g) if order == "all_but_one" else (g, ones)  # of one class, of the rest
    total = alone + (classes - 1) * others
    alone, others = classes * alone / total, classes * others / total
    if order == "random":
        assert drawn is not None
        which = drawn[0][drawn[1], xp.asarray(cycle, dtype=xp.int64)]
    else:
        which = cycle - classes * xp.floor(cycle / classes)
    return xp.stack([xp.where(which == c, alone, others) for c in range(classes)], -1)


def own_class_weights(
    function: Callable[..., Array],
    step: NDArray[np.float64],
    period: int,
    amplitude: float,
    classes: int,
    *,
    steps: int,
    seed: int = 0,
    last_period_static: bool = True,
    static_end: float = 0.0,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> NDArray[np.float64]:
    """The weights G of one run where ``function`` gives g: ``(steps, classes)`` in NumPy.

    It is called with ``step``, and by keyword with ``period``, ``amplitude``, ``classes``,
    ``seed`` and the ``settings``. Its weights are made to sum to C; they are 1 at amplitude 1, and
    where :func:`class_weights` has them static.

    Raises:
        ValueError: what it returns has another shape, or values that are not finite and above 0.
    """
    still = step >= steps * (1 - static_end) if static_end else np.zeros(len(step), bool)
    if last_period_static:
        still |= step >= steps - period
    if amplitude == 1 or still.all():
        return np.ones((len(step), classes))
    given = {"period": period, "amplitude": amplitude, "classes": classes, "seed": seed}
    g = np.asarray(function(step, **given, **settings), np.float64)
    if g.shape != (len(step), classes):
        raise ValueError(f"class weights have the shape {g.shape}, not {(len(step), classes)}")
    if not (np.isfinite(g).all() and (g > 0).all()):
        raise ValueError("class weights must be finite and above 0")
    weights: NDArray[np.float64] = classes * g / g.sum(axis=1, keepdims=True)
    weights[still] = 1.0
    return weights


def sample_losses(logits: Tensor, labels: Tensor, name: str = "cross_entropy") -> Tensor:
    """Unweighted loss of every sample, shape ``(runs, samples)``.

    ``cross_entropy``: -log softmax(f)_y. ``mean_squared_error``: the mean over the C outputs of
    (f_c - [c = y])^2, after Lavin Pallero and Ruiz-Garcia (arXiv 2410.10690), of whose two
    dynamical versions this is the one that weighs samples by their class.

    Args:
        logits: shape ``(runs, samples, classes)``.
        labels: shape ``(samples,)`` or ``(runs, samples)``.
    """
    index = labels.expand(logits.shape[:-1])
    if name == "mean_squared_error":
        targets = torch.nn.functional.one_hot(index, logits.shape[-1])
        return (logits - targets).square().mean(dim=-1)
    return -logits.log_softmax(dim=-1).gather(-1, index.unsqueeze(-1)).squeeze(-1)
