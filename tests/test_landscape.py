"""The valley along a direction: profiles with known measures, and those of real runs."""

from __future__ import annotations

import numpy as np
import pytest

from dynsweep.curvature.landscape import Valley, oriented, places, valley

A = places(1.0, 20)
HEIGHT = 0.05


def measured(*profiles: np.ndarray) -> Valley:
    return valley(A, np.array(profiles)[:, None], HEIGHT)


@pytest.mark.parametrize("position", [0.0, 0.0123, -0.31, 0.5])
@pytest.mark.parametrize("curvature", [0.9, 2.0, 40.0])
def test_a_quadratic_has_its_own_measures(position: float, curvature: float) -> None:
    whole = 0.7 + curvature / 2 * (A - position) ** 2
    found = measured(whole)
    expected = {
        "position": position,
        "floor": 0.7,
        "tilt": 0.0,
        "width": 2 * np.sqrt(2 * HEIGHT / curvature),
        "depth": curvature / 2 * (1 - abs(position)) ** 2,
        "curvature": curvature,
    }
    for name, values in found._asdict().items():
        np.testing.assert_allclose(values, [[expected[name]]], atol=1e-10, err_msg=name)


def test_parts_of_a_quadratic_add_up() -> None:
    """Each part alone falls all the way; without their tilts they are valleys at one place."""
    one, other = 0.3 + 0.9 * A + 0.2 * A**2, 0.4 - 0.8 * A + 0.6 * A**2
    found = measured(one + other, one, other)
    position = -0.1 / 1.6
    np.testing.assert_allclose(found.position, [[position]] * 3)
    for values in (found.floor, found.tilt, found.curvature):
        np.testing.assert_allclose(values[0], values[1] + values[2], atol=1e-12)
    np.testing.assert_allclose(found.curvature[:, 0], [1.6, 0.4, 1.2])
    np.testing.assert_allclose(found.tilt[1], 0.9 + 0.4 * position)
    np.testing.assert_allclose(found.width[:, 0], 2 * np.sqrt(2 * HEIGHT / found.curvature[:, 0]))


def test_what_is_not_there_is_missing() -> None:
    falling, flat, shallow = -A, 0 * A, 0.01 * A**2
    for profile in (falling, flat, np.where(A > 0.5, np.nan, A**2)):
        assert np.isnan(measured(profile)).all()
    assert np.isnan(measured(shallow).width).all()
    assert measured(shallow).curvature == pytest.approx(0.02)


def test_the_loss_of_the_emphasised_classes_falls_where_a_grows() -> None:
    whole, nothing = (A + 0.3) ** 2, np.full_like(A, np.nan)
    profiles = np.stack([[whole, whole, whole], [A, -A, nothing], [whole - A, whole + A, nothing]])
    turned = oriented(profiles)
    np.testing.assert_array_equal(turned[1, :2], [-A, -A])
    np.testing.assert_array_equal(turned[0], [whole[::-1], whole, whole[::-1]])
    np.testing.assert_allclose(turned[0, :2], (turned[1] + turned[2])[:2], atol=1e-12)
