"""Onset of bouncing in gradient descent whose curvature is known, and fits of power laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dynsweep.curvature.threshold import crossing, fit_power, known_sharpness, onset

Series = tuple[NDArray[np.float64], ...]
STEPS = 400


def descent(lr: float, low: float = 1.96, high: float = 2.1, kick: float = 0.05) -> Series:
    """Gradient descent in a parabola that moves, and whose curvature times lr rises.

    Returns:
        step, loss, loss_change and curvature, each of shape ``(STEPS - 1,)``.
    """
    curvature = np.linspace(low, high, STEPS) / lr
    drift = 0.3  # of the minimum, per step
    w = -drift / low + kick  # the place that lags behind the minimum by as much at every step
    loss = []
    for t in range(STEPS):
        away = w - drift * t
        loss.append(1 + curvature[t] / 2 * away**2)
        w -= lr * curvature[t] * away
    values = np.array(loss)
    return np.arange(1.0, STEPS), values[1:], np.diff(values), curvature[1:]


@pytest.mark.parametrize("lr", [0.01, 0.1, 1.0])
def test_the_onset_is_at_two_over_the_learning_rate(lr: float) -> None:
    step, loss, change, curvature = descent(lr)
    found = onset(step, change, curvature, loss=loss)
    assert found.sharpness == pytest.approx(2 / lr, rel=0.02)
    assert found.sharpness == pytest.approx(curvature[int(found.step) - 1])
    assert crossing(step, curvature, lr) == pytest.approx(found.step, abs=40)


def test_bouncing_that_dies_away_is_no_onset() -> None:
    step, loss, change, curvature = descent(1.0, 1.7, 1.95)
    assert (change[1:5] * change[:4] < 0).all()
    assert math.isnan(onset(step, change, curvature, loss=loss).step)
    assert math.isnan(crossing(step, curvature, 1.0))


def test_bouncing_that_dies_away_slowly_is_no_onset() -> None:
    """Long above the level: only its magnitude tells that no instability starts."""
    step, loss, change, curvature = descent(1.0, 1.9, 1.95, kick=0.3)
    assert math.isnan(onset(step, change, curvature, loss=loss, level=1e-6).step)


def test_sharpness_at_few_steps_is_interpolated() -> None:
    step, loss, change, curvature = descent(1.0)
    sparse = np.where(step % 50 == 0, curvature, np.nan)
    exact = onset(step, change, curvature, loss=loss)
    assert onset(step, change, sparse, loss=loss) == pytest.approx(exact)
    assert crossing(step, sparse, 1.0) == pytest.approx(crossing(step, curvature, 1.0))
    early = np.where(step < 20, curvature, np.nan)
    assert math.isnan(onset(step, change, early, loss=loss).sharpness)
    assert onset(step, change, early, loss=loss).step == exact.step
    assert math.isnan(onset(step, change, np.full(len(step), np.nan), loss=loss).sharpness)


def test_a_smooth_series_has_no_onset() -> None:
    step = np.arange(500.0)
    change = -np.exp(-step / 50) + 0.3 * np.sin(step / 20)
    assert all(math.isnan(x) for x in onset(step, change, np.ones(500), loss=np.ones(500)))
    assert math.isnan(onset(step, np.full(500, np.nan), step).step)
    assert math.isnan(onset([], [], []).step)


def test_alternation_at_the_level_of_rounding_is_no_onset() -> None:
    step = np.arange(200.0)
    rounding = 1e-8 * (-1) ** step * (1 + step / 100)
    noise = 1e-7 * np.random.default_rng(0).standard_normal(200)
    assert math.isnan(onset(step, noise, step, loss=np.ones(200)).step)
    assert math.isnan(onset(step, rounding, step, loss=np.ones(200)).step)
    assert onset(step, rounding, step, loss=np.ones(200), level=1e-10).step > 0
    # Without the loss, against the largest change.
    assert math.isnan(onset(step[1:], np.where(step == 199, -1, rounding)[1:], step[1:]).step)


def test_only_consecutive_steps_count() -> None:
    growing = 1.1 ** np.arange(60) * (-1.0) ** np.arange(60)
    # What alternates needs a neighbour on either side.
    assert onset(np.arange(60.0), growing, np.arange(60.0)) == (1, 1)
    apart = np.arange(60.0) * 3
    assert math.isnan(onset(apart, growing, apart).step)
    pieces = np.concatenate([np.arange(15.0), np.arange(100.0, 145.0)])
    assert onset(pieces, growing, pieces, level=0).step == 101
    holed = np.where(np.arange(60) % 15 == 6, np.nan, growing)
    assert math.isnan(onset(np.arange(60.0), holed, np.arange(60.0)).step)


def test_a_drift_hides_the_start_of_bouncing() -> None:
    step = np.arange(60.0)
    change = 1 + 0.01 * 1.15**step * (-1.0) ** step
    assert onset(step, change, step, level=0).step == 1
    assert (change[:32] > 0).all()


def test_sharpness_that_jumps_with_the_weights_is_averaged() -> None:
    step = np.arange(20.0)
    jumping = step / 10 + 0.5 * (-1) ** step
    time, value = known_sharpness(step, jumping)
    np.testing.assert_allclose(value[1:-1], step[1:-1] / 10, atol=1e-12)
    assert crossing(step, jumping, 2 / 0.95) == pytest.approx(9.5)
    _, alone = known_sharpness(step[::2], jumping[::2])
    np.testing.assert_array_equal(alone, jumping[::2])
    assert time.shape == (20,)


def test_the_exponent_of_a_power_law() -> None:
    rng = np.random.default_rng(0)
    x = np.geomspace(0.01, 10, 30)
    exact = fit_power(x, 2 / x)
    assert exact == pytest.approx((-1, 0, 2), abs=1e-6)
    exponents, errors = [], []
    for _ in range(300):
        fit = fit_power(x, 3 * x**-0.7 * np.exp(0.2 * rng.standard_normal(30)))
        exponents.append(fit.exponent)
        errors.append(fit.error)
    assert np.mean(exponents) == pytest.approx(-0.7, abs=0.01)
    assert np.mean(errors) == pytest.approx(np.std(exponents), rel=0.15)


def test_fits_need_points() -> None:
    assert fit_power([1, 10, np.nan, 3, 0], [2, 20, 5, np.nan, 1])[::2] == pytest.approx((1, 2))
    assert math.isnan(fit_power([1, 10], [2, 20]).error)
    assert all(map(math.isnan, fit_power([1, 1], [2, 3])))
    assert all(map(math.isnan, fit_power([], [])))
