"""The plane coloured by the predicted class, with the training points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dynsweep.plots import style
from dynsweep.plots.layout import Layout

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
    colours = [style.CLASSES[label % len(style.CLASSES)] for label in range(classes)]
    # Points in full colour on the paler colour of their region.
    pale = ListedColormap(
        [tuple(0.45 * np.array(to_rgb(c)) + 0.55) for c in colours]
    ).with_extremes(under="white")
    norm = BoundaryNorm(np.arange(classes + 1) - 0.5, classes)
    extent = max(float(np.abs(picture.points).max()) for picture in pictures) * (1 + MARGIN)
    ticks = np.linspace(-extent, extent, PIXELS)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    for axis, picture in zip(axes, pictures, strict=True):
        regions = picture.predict(plane).reshape(PIXELS, PIXELS)
        side = (-extent, extent)
        axis.imshow(
            regions,
            origin="lower",
            extent=(*side, *side),
            cmap=pale,
            norm=norm,
            interpolation="nearest",
            aspect="auto",
        )
        axis.scatter(
            picture.points[:, 0],
            picture.points[:, 1],
            c=[colours[label] for label in picture.labels],
            s=7 if layout.columns > 2 else 14,
            edgecolor=style.INK,
            linewidth=0.35,
        )
        axis.set(xlim=side, ylim=side, xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        axis.set_title(picture.title, fontsize=layout.tick, color=style.INK, pad=4)
        axis.tick_params(labelsize=layout.tick, color=style.INK, labelcolor=style.INK)
    layout.label("$x_1$", "$x_2$")
    handles = [
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
        for label, colour in enumerate(colours[:8])
    ]
    layout.finish("Decision regions and training points", facts, handles=handles)
    return figure
