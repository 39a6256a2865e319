"""Interleaved spirals, the toy problem of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dynsweep.data.base import Dataset, DatasetConfig
from dynsweep.lazy import np
from dynsweep.settings import setting

if TYPE_CHECKING:
    from numpy.random import RandomState
    from numpy.typing import NDArray


@dataclass(unsafe_hash=True)
class SpiralsConfig(DatasetConfig):
    """Interleaved spirals in the plane, an arm for each class."""

    name: str = setting("spirals", short="dataset")
    classes: int = setting(3, "classes C, an arm each", least=2, label="number of classes C")
    samples_per_class: int = setting(
        100, "training points of a class", least=1, label="training samples per class"
    )
    validation_samples_per_class: int = setting(
        100, "validation points of a class, an independent draw of the same law", least=1
    )
    noise: float = setting(
        0.2,
        "standard deviation of the normal noise on the angle, radians",
        least=0,
        label="noise of the angle (radians)",
    )
    revolutions: float = setting(2.0, "turns of each arm", label="revolutions of the spirals")
    seed: int = setting(0, "draws the points; 0 draws those of the authors' notebook", least=0)

    def memory(self) -> int:
        points = self.samples_per_class + self.validation_samples_per_class
        return 80 * self.classes * points  # angle, radius and noise; inputs and labels

    def load(self) -> Dataset:
        # NumPy's frozen legacy generator: seed 0 draws the very points of the authors' notebook.
        # The validation set goes on in the same stream, a second draw of the same law.
        rng = np.random.RandomState(self.seed)
        law = (self.classes, self.noise, self.revolutions)
        return Dataset(
            *spirals(self.samples_per_class, *law, rng=rng),
            *spirals(self.validation_samples_per_class, *law, rng=rng),
            classes=self.classes,
        )


def spirals(
    samples_per_class: int, classes: int, noise: float, revolutions: float, *, rng: RandomState
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
