"""The spirals against an independent computation, point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dynsweep.config import SpiralsConfig
from dynsweep.data import load
from dynsweep.data.spirals import spirals


@pytest.mark.parametrize(
    ("classes", "samples", "turns"), [(3, 100, 2.0), (2, 7, 1.5), (5, 1, 2.0)]
)
def test_points(classes: int, samples: int, turns: float) -> None:
    inputs, labels = spirals(samples, classes, 0.2, turns, rng=np.random.RandomState(4))
    noise = np.random.RandomState(4).standard_normal(classes * samples)
    for j in range(classes):
        for i in range(samples):
            share = i / (samples - 1) if samples > 1 else 0.0
            angle = 2 * math.pi * j / classes + share * 2 * math.pi * turns
            angle += 0.2 * noise[j * samples + i]
            expected = (share * math.cos(angle), share * math.sin(angle))
            assert inputs[j * samples + i] == pytest.approx(expected, abs=1e-12)
            assert labels[j * samples + i] == j


def test_seed_zero_draws_the_points_of_the_notebook() -> None:
    """The authors' notebook, spelled out: NumPy seeded with 0, one arm after the other."""
    np.random.seed(0)
    arms = []
    for j in range(3):
        angle = np.linspace(2 * np.pi / 3 * j, 2 * np.pi / 3 * j + 4 * np.pi, 100)
        angle = angle + np.random.randn(100) * 0.2
        radius = np.linspace(0.0, 1, 100)
        arms.append(np.c_[radius * np.cos(angle), radius * np.sin(angle)])
    assert np.allclose(load(SpiralsConfig()).train_inputs, np.concatenate(arms), atol=1e-14)


def test_validation_is_an_independent_draw_of_the_same_law() -> None:
    data = load(SpiralsConfig())
    assert data.train_inputs.shape == data.validation_inputs.shape == (300, 2)
    same = np.all(data.train_inputs == data.validation_inputs, axis=1)
    assert np.flatnonzero(same).tolist() == [0, 100, 200]  # the arms' common origin
    radius = np.linalg.norm(data.train_inputs, axis=1)
    assert np.allclose(radius, np.linalg.norm(data.validation_inputs, axis=1))
    other = load(SpiralsConfig(seed=1))
    assert not np.allclose(data.train_inputs, other.train_inputs)
    assert np.array_equal(load(SpiralsConfig()).train_inputs, data.train_inputs)
