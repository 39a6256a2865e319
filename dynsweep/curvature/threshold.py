"""Where gradient descent starts to bounce, and power laws of where that happens.

Gradient descent with learning rate lr is unstable along a direction whose curvature exceeds
2 / lr: it then jumps from one side of the valley to the other, further every step, and the loss
goes up and down in turn.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 16  # steps; a multiple of 8: quarters hold as many rises as falls
# Of the loss: a bounce that is seen in a plot. Rounding in float32 is below 1e-6, and rectified
# units that switch on or off make the loss ring at 1e-6 to 1e-4, the longer the nearer to 2 / lr,
# so that a lower level puts the onset earlier: in four runs (H = 10 to 40, T = 500, A = 20) the
# sharpness at the first onset was 0.93 to 1.00 of 2 / lr at 1e-3, 0.85 to 0.96 at 1e-4 and 0.68 to
# 0.91 at 1e-5.
LEVEL = 1e-3

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


def onset(
    step: ArrayLike,
    loss_change: ArrayLike,
    sharpness: ArrayLike,
    *,
    loss: ArrayLike | None = None,
    level: float = LEVEL,
) -> Onset:
    """The first start of bouncing; two NaN if there is none.

    The bounce at t is b(t) = (c(t) - (c(t-1) + c(t+1)) / 2) / 2 with c = ``loss_change``: what
    alternates in c, without the drift of a loss that changes smoothly, which hides the start of
    bouncing in the sign of c itself. Bouncing starts at the first step t0 such that, over the
    consecutive steps t0, t0 + 1, ..., t0 + WINDOW - 1 at which b is known,

    * b changes sign at every step,
    * its magnitude is above the level at every step,
    * it grows: of the magnitudes, every quarter of the window sums to more than the one before.
      Bouncing that dies away, as after a kick below 2 / lr, is none.

    Steps without ``loss_change`` count as not recorded.

    Args:
        step: times t, increasing, gaps allowed, shape ``(records,)``.
        loss_change: F(W_t, t) - F(W_{t-1}, t-1), may hold NaN, shape ``(records,)``.
        sharpness: largest eigenvalue of the Hessian, NaN where not computed, shape ``(records,)``;
            see :func:`known_sharpness`; linear between the computed steps, NaN before the first
            and after the last.
        loss: F(W_t, t), shape ``(records,)``; without it, ``level`` is a part of the largest
            ``|loss_change|``.
        level: as a part of ``|loss|``; above the rounding and the ringing of rectified units.
    """
    time, change = np.asarray(step, dtype=np.float64), np.asarray(loss_change, dtype=np.float64)
    none = Onset(np.nan, np.nan)
    known = np.isfinite(change)
    if not known.any():
        return none
    scale = np.abs(change[known]).max() if loss is None else np.abs(np.asarray(loss, np.float64))
    bounce = -_beside(time, change, missing=np.nan) / 2
    # Comparisons with NaN are false: a record without a value breaks the row.
    counted = np.abs(bounce) > level * scale
    flips = counted[1:] & counted[:-1] & (bounce[1:] * bounce[:-1] < 0) & (np.diff(time) == 1)
    for row in np.split(np.arange(len(time)), np.flatnonzero(~flips) + 1):
        if len(row) >= WINDOW:
            sizes = np.lib.stride_tricks.sliding_window_view(np.abs(bounce[row]), WINDOW)
            quarters = sizes.reshape(-1, 4, WINDOW // 4).sum(axis=2)
            grows = (np.diff(quarters, axis=1) > 0).all(axis=1)
            if grows.any():
                at = float(time[row[int(grows.argmax())]])
                times, values = known_sharpness(step, sharpness)
                if not len(times):
                    return Onset(at, np.nan)
                return Onset(at, float(np.interp(at, times, values, np.nan, np.nan)))
    return none


def crossing(step: ArrayLike, sharpness: ArrayLike, lr: float) -> float:
    """The first time, in steps, at which ``sharpness`` rises through 2 / lr.

    Linear between the steps where it is known, so that it holds for records with gaps; NaN if it
    never does, or is above from the start.
    """
    time, value = known_sharpness(step, sharpness)
    excess = value - 2 / lr
    rises = np.flatnonzero((excess[:-1] < 0) & (excess[1:] >= 0))
    if not len(rises):
        return np.nan
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
    if len(np.unique(across)) < 2:
        return Power(np.nan, np.nan, np.nan)
    fit = linregress(across, up)
    error = float(fit.stderr) if len(across) > 2 else np.nan
    return Power(float(fit.slope), error, float(np.exp(fit.intercept)))


def known_sharpness(step: ArrayLike, sharpness: ArrayLike) -> tuple[Floats, Floats]:
    """Times and values where the sharpness was computed, without the bouncing itself.

    While the weights jump between two sides of a valley, the sharpness jumps with them. Where it
    is known at t - 1, t and t + 1, the value at t is their mean with weights 1/4, 1/2, 1/4. A
    record of every second, or tenth, step shows one side only and cannot be mended.
    """
    time, value = np.asarray(step, dtype=np.float64), np.asarray(sharpness, dtype=np.float64)
    finite = np.isfinite(value)
    time, value = time[finite], value[finite]
    return time, value + _beside(time, value) / 2


def _beside(time: Floats, value: Floats, missing: float = 0.0) -> Floats:
    """Mean of the values at t - 1 and t + 1, minus the one at t; ``missing`` without both."""
    result = np.full(len(time), missing)
    if len(time) > 2:
        both = (np.diff(time)[1:] == 1) & (np.diff(time)[:-1] == 1)
        means = (value[2:] + value[:-2]) / 2 - value[1:-1]
        result[1:-1] = np.where(both, means, missing)
    return result
