"""Where gradient descent starts to bounce, and power laws of where that happens.

Gradient descent with learning rate lr is unstable along a direction whose curvature exceeds
2 / lr: it then jumps from one side of the valley to the other, further every step, and the loss
goes up and down in turn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 8  # steps
ROUNDING = 1e-6  # of the loss; some ten times the rounding of float32

Floats = NDArray[np.float64]


class Onset(NamedTuple):
    """Where bouncing starts: time in steps, and the largest Hessian eigenvalue there."""

    step: float
    sharpness: float


class Power(NamedTuple):
    """``y = factor * x ** exponent``, with the exponent's standard error."""

    exponent: float
    error: float
    factor: float


NO_ONSET = Onset(float("nan"), float("nan"))


def onset(
    step: ArrayLike,
    loss_change: ArrayLike,
    sharpness: ArrayLike,
    *,
    loss: ArrayLike | None = None,
    rounding: float = ROUNDING,
    window: int = WINDOW,
) -> Onset:
    """The first of :func:`onsets`; two NaN if there is none."""
    every = onsets(step, loss_change, sharpness, loss=loss, rounding=rounding, window=window)
    return every[0] if every else NO_ONSET


def onsets(
    step: ArrayLike,
    loss_change: ArrayLike,
    sharpness: ArrayLike,
    *,
    loss: ArrayLike | None = None,
    rounding: float = ROUNDING,
    window: int = WINDOW,
) -> list[Onset]:
    """Every start of bouncing, in the order of time.

    Bouncing starts at the first step t0 such that, over the recorded consecutive steps t0,
    t0 + 1, ..., t0 + window - 1,

    * ``loss_change`` changes sign at every step (``window - 1`` alternations),
    * its magnitude is above the rounding level at every step,
    * the magnitudes of the second half sum to more than those of the first half: bouncing that
      dies away, as after a kick below 2 / lr, is none.

    It ends where the sign stays, or the level or the record is left; later starts are searched
    from there on. Steps without ``loss_change`` count as not recorded.

    Args:
        step: times t, increasing, gaps allowed, shape ``(records,)``.
        loss_change: F(W_t, t) - F(W_{t-1}, t-1), may hold NaN, shape ``(records,)``.
        sharpness: largest eigenvalue of the Hessian, NaN where not computed, shape ``(records,)``;
            linear between the computed steps, NaN before the first and after the last.
        loss: F(W_t, t), shape ``(records,)``; without it, the level is relative to the largest
            ``|loss_change|``.
        rounding: the rounding level as a part of ``|loss|``.
        window: steps, a multiple of 4: halves hold as many rises as falls.
    """
    if window < 4 or window % 4:
        raise ValueError(f"window={window}: needs a multiple of 4")
    time, change = np.asarray(step, dtype=np.float64), np.asarray(loss_change, dtype=np.float64)
    known = np.isfinite(change)
    if not known.any():
        return []
    scale = np.abs(change[known]).max() if loss is None else np.abs(np.asarray(loss, np.float64))
    # Comparisons with NaN are false: a record without a value breaks the row.
    counted = np.abs(change) > rounding * scale
    flips = counted[1:] & counted[:-1] & (change[1:] * change[:-1] < 0) & (np.diff(time) == 1)
    breaks = np.flatnonzero(~flips) + 1
    found = []
    for row in np.split(np.arange(len(time)), breaks):
        if len(row) < window:
            continue
        sizes = np.lib.stride_tricks.sliding_window_view(np.abs(change[row]), window)
        grows = sizes[:, window // 2 :].sum(axis=1) > sizes[:, : window // 2].sum(axis=1)
        if grows.any():
            at = float(time[row[int(grows.argmax())]])
            found.append(Onset(at, _interpolated(at, time, sharpness)))
    return found


def crossing(step: ArrayLike, sharpness: ArrayLike, lr: float) -> float:
    """The first time, in steps, at which ``sharpness`` rises through 2 / lr.

    Linear between the steps where it is known, so that it holds for records with gaps; NaN if it
    never does, or is above from the start.
    """
    time, value = _known(step, sharpness)
    excess = value - 2 / lr
    rises = np.flatnonzero((excess[:-1] < 0) & (excess[1:] >= 0))
    if not len(rises):
        return float("nan")
    i = rises[0]
    return float(time[i] + (time[i + 1] - time[i]) * -excess[i] / (excess[i + 1] - excess[i]))


def fit_power(x: ArrayLike, y: ArrayLike) -> Power:
    """Least squares of log y on log x; pairs that are not positive and finite are left out.

    The standard error is NaN with two points, everything is with fewer than two different x.
    """
    from scipy.stats import linregress

    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    usable = np.isfinite(across) & np.isfinite(up) & (across > 0) & (up > 0)
    across, up = np.log(across[usable]), np.log(up[usable])
    nan = float("nan")
    if len(np.unique(across)) < 2:
        return Power(nan, nan, nan)
    fit = linregress(across, up)
    error = float(fit.stderr) if len(across) > 2 else nan
    return Power(float(fit.slope), error, float(np.exp(fit.intercept)))


def _known(step: ArrayLike, sharpness: ArrayLike) -> tuple[Floats, Floats]:
    time, value = np.asarray(step, dtype=np.float64), np.asarray(sharpness, dtype=np.float64)
    finite = np.isfinite(value)
    return time[finite], value[finite]


def _interpolated(at: float, step: ArrayLike, sharpness: ArrayLike) -> float:
    time, value = _known(step, sharpness)
    if not len(time):
        return float("nan")
    return float(np.interp(at, time, value, left=np.nan, right=np.nan))
