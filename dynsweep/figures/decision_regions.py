"""The plane coloured by the predicted class, with the training points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dynsweep.figures import style
from dynsweep.figures.layout import Layout

PIXELS = 320  # of the plane, along each side
MARGIN = 0.15  # of the data's extent, around it


@dataclass(frozen=True)
class Picture:
    """One trained model to be shown.

    Attributes:
        title: settings and accuracies.
        predict: class of each point, ``(points, 2) -> (points,)``; -1 where there is none.
        points: training inputs ``(samples, 2)``.
        labels: their classes ``(samples,)``.
    """

    title: str
    predict: Callable[[NDArray[np.float64]], NDArray[np.int64]]
    points: NDArray[np.float64]
    labels: NDArray[np.int64]


def decision_regions(pictures: Sequence[Picture], facts: str = "") -> Figure:
    """Draw up to 12 pictures side by side.

    Args:
        pictures: what to show.
        facts: what they have in common, under the title.

    Returns:
        The figure; ``images[0]`` of each of its axes holds the predicted classes.
    """
    layout = Layout(len(pictures), bar=False, square=True)
    figure, axes, _ = layout.figure()
    classes = int(max(picture.labels.max() for picture in pictures)) + 1
    extent = max(half_side(picture.points) for picture in pictures)
    size = 7 if layout.columns > 2 else 14
    for axis, picture in zip(axes, pictures, strict=True):
        draw_regions(axis, picture, extent, classes, size)
        axis.set_title(picture.title, fontsize=layout.tick, color=style.INK, pad=4)
        axis.tick_params(labelsize=layout.tick, color=style.INK, labelcolor=style.INK)
    layout.label("$x_1$", "$x_2$")
    layout.finish("Decision regions and training points", facts, handles=class_handles(classes))
    return figure


def half_side(points: NDArray[np.float64]) -> float:
    """Half the side of the square that is shown, for training inputs ``(samples, 2)``."""
    return float(np.abs(points).max()) * (1 + MARGIN)


def predicted(picture: Picture, extent: float) -> NDArray[np.int64]:
    """Class at every pixel of the square from -extent to extent, ``(PIXELS, PIXELS)``."""
    ticks = np.linspace(-extent, extent, PIXELS)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    return picture.predict(plane).reshape(PIXELS, PIXELS)


def draw_regions(
    axis: Axes, picture: Picture, extent: float, classes: int, size: float
) -> AxesImage:
    """Draw regions and points (``size`` points squared each); returns the image."""
    colours = _colours(classes)
    # Points in full colour on the paler colour of their region.
    pale = ListedColormap(
        [tuple(0.45 * np.array(to_rgb(c)) + 0.55) for c in colours]
    ).with_extremes(under="white")
    side = (-extent, extent)
    image = axis.imshow(
        predicted(picture, extent),
        origin="lower",
        extent=(*side, *side),
        cmap=pale,
        norm=BoundaryNorm(np.arange(classes + 1) - 0.5, classes),
        interpolation="nearest",
        aspect="auto",
    )
    axis.scatter(
        picture.points[:, 0],
        picture.points[:, 1],
        c=[colours[label] for label in picture.labels],
        s=size,
        edgecolor=style.INK,
        linewidth=0.35,
    )
    axis.set(xlim=side, ylim=side, xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    return image


def class_handles(classes: int) -> list[Line2D]:
    """Legend entries of the first classes."""
    return [
        Line2D(
            [],
            [],
            linestyle="none",
            marker="o",
            markersize=5,
            label=f"class {label}",
            markerfacecolor=colour,
            markeredgecolor=style.INK,
            markeredgewidth=0.4,
        )
        for label, colour in enumerate(_colours(classes)[:8])
    ]


def _colours(classes: int) -> list[str]:
    return [style.CLASSES[label % len(style.CLASSES)] for label in range(classes)]
