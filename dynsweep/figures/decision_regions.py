"""The plane coloured by the predicted class, with the training points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from dynsweep.analysis import decisions
from dynsweep.analysis.decisions import Picture
from dynsweep.analysis.select import best_cell, matching
from dynsweep.analysis.statistics import cells, settings, varying
from dynsweep.figures import layout, style
from dynsweep.figures.captions import shared
from dynsweep.figures.tables import SweepTables

PIXELS = 320  # of the plane, along each side
MARGIN = 0.15  # of the data's extent, around it


def of_sweep(tables: SweepTables) -> Figure | None:
    """Draw the runs that the user wants to see, or the static loss beside the best cell."""
    chosen = _chosen_runs(tables)
    swept = varying(pd.DataFrame(chosen)) if len(chosen) > 1 else []
    pictures = []
    for run in chosen[: layout.MAX_PANELS]:
        try:
            pictures.append(decisions.picture(run, swept))
        except OSError as error:
            tables.note(
                f"No decision regions of run {run['id']}: {error.strerror}, {error.filename}"
            )
    if not pictures:
        return None
    facts = shared(cells(pd.DataFrame(chosen)), without=("period", "amplitude"))
    return decision_regions(pictures, ", ".join(facts))


def _chosen_runs(tables: SweepTables) -> list[pd.Series]:
    """A typical run of the best cell among those that each request allows; without requests of
    the best of all, and before it the static one."""
    runs = decisions.drawable(tables.runs)
    keys = [name for name in settings(tables.runs) if name != "seed"]
    if not tables.decisions:
        best = best_cell(tables.cells)
        return [] if best is None else decisions.static_and_best(runs, best, keys)
    chosen = []
    for request in tables.decisions:
        fitting = runs[matching(runs, request)]
        best = best_cell(cells(fitting)) if len(fitting) else None
        if best is None:
            words = ",".join(f"{name}={value}" for name, value in request.items())
            tables.note(f"No decision regions of {words}: no saved weights in the plane.")
            continue
        of_best = matching(fitting, {name: best[name] for name in keys})
        chosen.append(decisions.typical_run(fitting[of_best]))
    return chosen


@style.styled
def decision_regions(
    pictures: Sequence[Picture],
    facts: str = "",
    title: str = "Decision regions and training points",
    *,
    columns: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw 1 to 12 pictures side by side.

    Args:
        pictures: what to show, each with a function that predicts.
        facts: what they have in common.
        title: of the figure.
        columns: pictures in a row; chosen by default.
        figure: an empty one to draw in.

    Returns:
        The figure; ``images[0]`` of each of its axes holds the predicted classes.
    """
    # Titles with settings and accuracies are too long for four in a row.
    columns = columns or min(3, layout.COLUMNS[len(pictures)])
    titles = [picture.title for picture in pictures]
    figure, axes = layout.panels(
        titles, "$x_1$", "$x_2$", columns=columns, square=True, figure=figure
    )
    extent = max(half_side(picture.points) for picture in pictures)
    classes = max(count_classes(picture) for picture in pictures)
    for ax, picture in zip(axes, pictures, strict=True):
        region_panel(picture, extent=extent, classes=classes, ax=ax)
    style.title(figure, title, facts)
    layout.legend(figure, _class_handles(classes), columns=3)
    return figure


@style.styled
def region_panel(
    picture: Picture,
    *,
    extent: float | None = None,
    classes: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the predicted classes of the plane as an image, and the training points.

    Args:
        picture: what to show; its title is left to the caller.
        extent: half the side of the square that is shown; by default that of the points.
        classes: how many there are; by default those of the points.
        ax: where to draw; axes of a new figure by default.
    """
    ax = ax if ax is not None else Figure().subplots()
    extent = extent or half_side(picture.points)
    classes = classes or count_classes(picture)
    colours = _colours(classes)
    # Points in full colour on the paler colour of their region.
    pale = [tuple(0.45 * np.array(to_rgb(colour)) + 0.55) for colour in colours]
    side = (-extent, extent)
    ax.imshow(
        predicted(picture, extent),
        origin="lower",
        extent=(*side, *side),
        cmap=ListedColormap(pale).with_extremes(under="white"),
        norm=BoundaryNorm(np.arange(classes + 1) - 0.5, classes),
        interpolation="nearest",
    )
    ax.scatter(
        picture.points[:, 0], picture.points[:, 1], s=3.5 * layout.inches(ax)[0],
        c=[colours[label] for label in picture.labels], edgecolor=style.INK, linewidth=0.35,
    )  # fmt: skip
    ax.grid(visible=False)
    ax.set(xlim=side, ylim=side, xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    return ax


def half_side(points: NDArray[np.float64]) -> float:
    """Half the side of the square that is shown, for training inputs ``(samples, 2)``."""
    return float(np.abs(points).max()) * (1 + MARGIN)


def count_classes(picture: Picture) -> int:
    """Classes of a picture's points."""
    return int(picture.labels.max()) + 1


def predicted(picture: Picture, extent: float) -> NDArray[np.int64]:
    """Class at every pixel of the square from -extent to extent, ``(PIXELS, PIXELS)``."""
    ticks = np.linspace(-extent, extent, PIXELS)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    return picture.predict(plane).reshape(PIXELS, PIXELS)


def _class_handles(classes: int) -> list[Line2D]:
    """Legend entries of the first classes."""
    return [
        Line2D(
            [], [], linestyle="none", marker="o", markersize=5, color=colour,
            markeredgecolor=style.INK, markeredgewidth=0.4, label=f"class {i}",
        )
        for i, colour in enumerate(_colours(classes)[: len(style.COLOURS)])
    ]  # fmt: skip


def _colours(classes: int) -> list[str]:
    return [style.COLOURS[label % len(style.COLOURS)] for label in range(classes)]
