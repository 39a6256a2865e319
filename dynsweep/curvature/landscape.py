"""The valley in which a run's weights lie: F(W + a v, t) along a direction v, and its measures."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Valley(NamedTuple):
    """Measures of a profile, or of a part of it; NaN where there is no such thing.

    Attributes:
        position: a of the whole profile's minimum, in the units of the weights.
        floor: the loss there. The talk's "deeper" is a lower floor, its "higher" a higher one.
        tilt: first derivative with respect to a there: 0 of the whole, and what each part pulls.
        width: between the two places next to the minimum where the loss, without its tilt, is a
            given height above the floor.
        depth: the floor below the lower end of the profile, without its tilt.
        curvature: second derivative at the minimum.
    """

    position: Floats
    floor: Floats
    tilt: Floats
    width: Floats
    depth: Floats
    curvature: Floats


def places(reach: float, points: int) -> Floats:
    """The a of a profile: ``points`` on each side of 0, up to ``reach``; ``(2 points + 1,)``."""
    return reach * np.arange(-points, points + 1) / points


def oriented(profiles: Floats) -> Floats:
    """Profiles ``(parts, runs, points)``, mirrored so that the loss of the first part, the
    emphasised classes, falls where a grows from 0, or of the whole where that part is NaN: the
    sign of an eigenvector means nothing."""
    middle = profiles.shape[-1] // 2
    deciding = np.where(np.isnan(profiles[1]), profiles[0], profiles[1])
    rises = deciding[:, middle + 1] > deciding[:, middle - 1]
    return np.where(rises[:, None], profiles[..., ::-1], profiles)


def valley(a: Floats, profiles: Floats, height: float) -> Valley:
    """Measure profiles around their lowest point.

    Exact for a quadratic: the minimum is that of the parabola through the lowest point and its
    neighbours, and between points the square root of the loss above the floor, which is
    proportional to the distance in a quadratic, is interpolated linearly. A profile whose lowest
    point is an end has no minimum, and one that does not rise by ``height`` on both sides no
    width: a valley wider than the profile is told as missing, not as narrow as that.

    Losses of some classes alone have a slope at the minimum of the whole, those of the others the
    opposite one, and mostly no minimum of their own. Each is measured at the minimum of the whole,
    without its tilt, so that floors, curvatures and what rises above the floors add up.

    Args:
        a: increasing, at equal distances, shape ``(points,)``, three at least.
        profiles: the loss at each, and parts of it, shape ``(parts, runs, points)``, the whole
            first.
        height: above the floor, at which the width is measured.

    Returns:
        Each of shape ``(parts, runs)``.
    """
    of_runs = [_valleys(a, one, height) for one in np.moveaxis(profiles, 1, 0).astype(np.float64)]
    return Valley(*np.moveaxis(np.array(of_runs), 0, -1).swapaxes(0, 1))


def _valleys(a: Floats, profiles: Floats, height: float) -> Floats:
    """The measures of one run, ``(parts, measures)``."""
    whole, spacing = profiles[0], a[1] - a[0]
    lowest = int(np.argmin(whole))
    nothing = np.full((len(profiles), len(Valley._fields)), np.nan)
    if not np.isfinite(whole).all() or lowest in (0, len(a) - 1):
        return nothing
    before, at, after = profiles[:, lowest - 1 : lowest + 2].T
    first, second = (after - before) / 2, before - 2 * at + after
    if not second[0] > 0:  # flat: three equal numbers
        return nothing
    shift = -first[0] / second[0]  # of the minimum, in spacings
    position = a[lowest] + spacing * shift
    floor = at + first * shift + second * shift**2 / 2
    tilt = (first + second * shift) / spacing
    level = profiles - tilt[:, None] * (a - position) - floor[:, None]
    width = [_width(a - position, one, height) for one in level]
    depth = level[:, [0, -1]].min(axis=1)
    where = np.full(len(profiles), position)
    return np.stack([where, floor, tilt, width, depth, second / spacing**2], axis=1)


def _width(distance: Floats, level: Floats, height: float) -> float:
    root, right, left = np.sqrt(np.maximum(level, 0)), distance > 0, distance < 0
    return _reached(distance[right], root[right], height**0.5) + _reached(
        -distance[left][::-1], root[left][::-1], height**0.5
    )


def _reached(distance: Floats, above: Floats, level: float) -> float:
    """The distance from the minimum at which ``above``, 0 there, first reaches a level."""
    over = np.flatnonzero(above >= level)
    if not len(over):
        return np.nan
    k = int(over[0])
    near, low = (distance[k - 1], above[k - 1]) if k else (0.0, 0.0)
    return float(near + (distance[k] - near) * (level - low) / (above[k] - low))
