"""The plane coloured by the predicted class, with the training points: of runs, and in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dynsweep.analysis import decisions
from dynsweep.analysis.columns import varying
from dynsweep.analysis.decisions import Predict, Window, plane, window
from dynsweep.analysis.select import best_cell, matching
from dynsweep.analysis.statistics import cells
from dynsweep.config.labels import number
from dynsweep.data import Dataset, load
from dynsweep.errors import DynsweepError
from dynsweep.figures import layout, style
from dynsweep.figures.animation import frame, save_gif
from dynsweep.figures.tables import SweepTables
from dynsweep.store import Damaged, load_weights

PIXELS = 320  # of the plane, along each side
MOST_NAMED = 24  # classes in a legend


@dataclass(frozen=True)
class Picture:
    """One trained model to be shown.

    Attributes:
        title: settings and accuracies.
        predict: class of each point, ``(points, 2) -> (points,)``; -1 where there is none.
        points: training inputs ``(samples, 2)``.
        labels: their classes ``(samples,)``.
        names: of the classes, if they have some.
        axes: what the two inputs are.
    """

    title: str
    predict: Predict
    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    names: tuple[str, ...] = ()
    axes: tuple[str, ...] = ("$x_1$", "$x_2$")

    def predicted(self, shown: Window) -> NDArray[np.int64]:
        """Class at every pixel of the window, ``(PIXELS, PIXELS)``."""
        return self.predict(plane(shown, PIXELS)).reshape(PIXELS, PIXELS)

    def name(self, index: int) -> str:
        """Of a class."""
        return self.names[index] if self.names else f"class {index}"


@style.styled
def decision_regions(
    pictures: Sequence[Picture],
    facts: str = "",
    title: str = "Decision regions and training points",
    *,
    columns: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw 1 to 12 pictures side by side, in so many ``columns``, 8 at most, chosen by default.

    ``images[0]`` of each of the figure's axes holds the predicted classes.
    """
    # Titles with settings and accuracies are too long for four in a row.
    columns = columns or min(3, layout.COLUMNS[len(pictures)])
    titles = [picture.title for picture in pictures]
    figure, axes = layout.panels(titles, *pictures[0].axes, columns=columns, figure=figure)
    left, right, bottom, top = zip(*[window(picture.points) for picture in pictures], strict=True)
    shown = min(left), max(right), min(bottom), max(top)
    for ax, picture in zip(axes, pictures, strict=True):
        region_panel(picture, shown=shown, ax=ax)
    layout.legend(figure)
    style.title(figure, title, facts)
    return figure


@style.styled
def region_panel(picture: Picture, *, shown: Window | None = None, ax: Axes | None = None) -> Axes:
    """Draw the predicted classes of the plane as an image, and the training points.

    The title is left to the caller. What is ``shown`` is by default what the points fill.
    """
    ax = ax if ax is not None else Figure().subplots()
    shown = shown or window(picture.points)
    classes = int(picture.labels.max()) + 1
    looks = [style.look(index) for index in range(classes)]
    # Points in full colour on the paler colour of their region.
    pale = [tuple(0.45 * np.array(to_rgb(colour)) + 0.55) for colour, _, _ in looks]
    square = shown[1] - shown[0] == shown[3] - shown[2]
    ax.imshow(
        picture.predicted(shown), origin="lower", extent=shown, interpolation="nearest",
        aspect="equal" if square else "auto",
        cmap=ListedColormap(pale).with_extremes(under="white"),
        norm=BoundaryNorm(np.arange(classes + 1) - 0.5, classes),
    )  # fmt: skip
    for index, (colour, marker, _) in enumerate(looks):
        x, y = picture.points[picture.labels == index].T
        ax.scatter(
            x, y, s=3.5 * layout.inches(ax)[0], color=colour, marker=marker,
            edgecolor=style.INK, linewidth=0.35,
            label=picture.name(index) if index < MOST_NAMED else "_",
        )  # fmt: skip
    ax.grid(visible=False)
    ax.set(xlim=shown[:2], ylim=shown[2:])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    return ax


def picture(title: str, predict: Predict, data: Dataset) -> Picture:
    """Of a model and its training data."""
    axes = data.axes or ("$x_1$", "$x_2$")
    return Picture(title, predict, data.train_inputs, data.train_labels, data.names, axes)


def snapshot(step: int, predict: Predict, data: Dataset) -> Picture:
    """The model after ``step`` steps, its step and accuracy as the title; see :class:`Picture`."""
    accuracy = float((predict(data.train_inputs) == data.train_labels).mean())
    return picture(f"t = {number(step)}\naccuracy {accuracy:.2f}", predict, data)


def decision_strip(snapshots: Sequence[Picture], facts: str = "") -> Figure:
    """Draw one row of 1 to 8 panels, in the order given."""
    title = "Decision regions, training accuracy"
    return decision_regions(snapshots, facts, title, columns=len(snapshots))


@style.styled
def save_animation(
    snapshots: Sequence[Picture], path: Path, facts: str = "", *, fps: int = 5
) -> Path:
    """Write a GIF that repeats, a frame per snapshot (one at least), whole or not at all."""
    figure = decision_strip(snapshots[:1], facts)
    (ax,) = figure.axes
    frames = []
    for picture in snapshots:
        ax.images[0].set_data(picture.predicted(window(picture.points)))
        ax.set_title(picture.title)
        frames.append(frame(figure))
    return save_gif(frames, path, fps)


def regions_of_sweep(tables: SweepTables) -> Figure | None:
    """Draw the runs that the user wants to see, or the static loss beside the best cell."""
    runs = _chosen(tables)
    settings = decisions.recorded_settings(runs)
    pictures = []
    for _, run in runs.head(layout.MAX_PANELS).iterrows():
        try:
            weights = load_weights(run["directory"], run["weights"]).get(run["id"])
        except Damaged as error:
            tables.note(f"No decision regions of run {run['id']}: {error}.")
            continue
        if weights is None or run["id"] not in settings:
            tables.note(f"No decision regions of run {run['id']}: its record does not fit.")
            continue
        try:
            data = load(settings[run["id"]].dataset)
            predict = decisions.predictor(settings[run["id"]], weights)
        except DynsweepError as error:  # of data or code that was somewhere else then
            tables.note(f"No decision regions of run {run['id']}: {error}.")
            continue
        pictures.append(picture(decisions.title(run, varying(runs)), predict, data))
    if not pictures:
        return None
    common = ", ".join(layout.shared(cells(runs), ("period", "amplitude")))
    return decision_regions(pictures, common)


def _chosen(tables: SweepTables) -> pd.DataFrame:
    """The runs that are drawn: typical ones of the best cells that fit the requests."""
    runs = decisions.drawable(tables.runs)
    if not tables.decisions:
        best = best_cell(tables.cells)
        return decisions.static_and_best(runs, best) if best is not None else runs.head(0)
    chosen = [runs.head(0)]
    for request in tables.decisions:
        fitting = runs[matching(runs, request)]
        best = best_cell(cells(fitting)) if len(fitting) else None
        if best is None:
            words = ",".join(f"{name}={value}" for name, value in request.items())
            tables.note(f"No decision regions of {words}: no saved weights in the plane.")
        else:
            chosen.append(decisions.typical_of_cell(fitting, best))
    return pd.concat(chosen)
