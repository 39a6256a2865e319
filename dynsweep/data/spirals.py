"""Interleaved spirals, the toy problem of the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spirals(
    samples_per_class: int,
    classes: int,
    noise: float,
    revolutions: float,
    *,
    rng: np.random.RandomState,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw points on ``classes`` spiral arms (paper, section 3; Karpathy's CS231n notes).

    Class j has radius r = linspace(0, 1, N) and angle = linspace(2 pi j / C, 2 pi j / C +
    2 pi revolutions, N) + noise * standard normal; x = (r cos, r sin).

    Args:
        samples_per_class: N.
        classes: C.
        noise: standard deviation of the angle, radians.
        revolutions: turns of each arm; the paper has 2.
        rng: source of the noise.

    Returns:
        Inputs ``(C * N, 2)`` ordered by class, and labels ``(C * N,)``.
    """
    radius = np.tile(np.linspace(0, 1, samples_per_class), classes)
    start = 2 * np.pi * np.arange(classes) / classes
    turn = 2 * np.pi * revolutions
    angle = np.linspace(start, start + turn, samples_per_class, axis=1).ravel()
    angle = angle + noise * rng.standard_normal(angle.size)
    inputs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return inputs, np.repeat(np.arange(classes, dtype=np.int64), samples_per_class)
