"""Panels of equal size with common axes, their ticks, the words above and the legend below."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from dynsweep.analysis import grid
from dynsweep.analysis.columns import (
    GAIN,
    QUANTITIES,
    WORDS,
    setting_columns,
    unusual,
)
from dynsweep.analysis.grid import Scale
from dynsweep.config import labels
from dynsweep.figures import style

MAX_PANELS = 12
# Settings that captions name even at their defaults.
ALWAYS = ("width", "model.init", "lr", "period", "amplitude")
# Columns of panels by their number, and a panel's width and height by columns, inches.
COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4, 9: 3, 10: 4, 11: 4, 12: 4}
SIZES = {1: (5.6, 4.2), 2: (3.9, 3.3), 3: (2.6, 2.5), 4: (1.9, 1.9)}
LETTER = 0.58  # width of a letter over the size of its font, about
TICK_LETTERS = 20  # longer words on an axis take several lines


def panels(
    titles: Sequence[str],
    xlabel: str,
    ylabel: str,
    *,
    bar: bool = False,
    columns: int | None = None,
    figure: Figure | None = None,
) -> tuple[Figure, list[Axes]]:
    """Axes that share their limits, labelled at the border of the figure.

    Args:
        titles: one for each panel, 1 to 12.
        xlabel: of the lowest panels.
        ylabel: of the leftmost panels.
        bar: leave room for a colour bar.
        columns: panels in a row, which then are square; chosen by default.
        figure: an empty one, such as pyplot's in a notebook; it gets a new size.
    """
    count = len(titles)
    square = columns is not None
    columns = columns or COLUMNS[count]
    rows = -(-count // columns)
    width, height = SIZES.get(columns, (9.6 / columns, 9.6 / columns))
    if square:
        width = height = min(width, height)
    figure = figure or Figure()
    figure.set_layout_engine("constrained")
    size = style.SMALL if columns > 2 else style.SHEET["axes.titlesize"]
    titles = [_wrapped(title, int(72 * width / (LETTER * size))) for title in titles]
    title_lines = max(title.count("\n") + bool(title) for title in titles)
    figure.set_size_inches(
        columns * (width + 0.1) + (1.7 if bar else 0.5 if square else 0.8),
        rows * (height + 0.1 + 0.15 * title_lines) + (1.4 if square else 1.2),
    )
    axes: list[Axes] = []
    for index, title in enumerate(titles):
        first = axes[0] if axes else None
        ax = figure.add_subplot(rows, columns, index + 1, sharex=first, sharey=first)
        ax.set_title(title)
        left, bottom = index % columns == 0, index + columns >= count
        ax.tick_params(which="both", labelleft=left, labelbottom=bottom)
        ax.set(xlabel=xlabel if bottom else "", ylabel=ylabel if left else "")
        ax.title.set_fontsize(size)
        if columns > 2:
            ax.tick_params(labelsize=style.SMALL)
        axes.append(ax)
    return figure, axes


def legend(figure: Figure) -> None:
    """Explain below the panels what has a label in any of them, in as few rows as it fits.

    The figure grows by what it needs beyond one row.
    """
    handles = {
        label: handle
        for ax in figure.axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    if handles:
        size = style.SHEET["legend.fontsize"] / 72
        fitting = figure.get_figwidth() / (size * (LETTER * max(map(len, handles)) + 3.5))
        rows = -(-len(handles) // max(int(fitting), 1))
        figure.set_figheight(figure.get_figheight() + 1.4 * size * (rows - 1))
        explained = figure.legend(
            handles.values(), handles, loc="outside lower left", borderpad=0,
            ncols=-(-len(handles) // rows),
        )  # fmt: skip
        for handle in explained.legend_handles:
            if isinstance(handle, PathCollection):
                handle.set_sizes([25])  # the panels' points may be tiny


def constrain(ax: Axes) -> None:
    """Let the figure of somebody's axes make room for their labels, unless it is laid out."""
    figure: Any = ax.figure
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of axes, inches."""
    box, dpi = ax.get_window_extent(), ax.figure.dpi
    return box.width / dpi, box.height / dpi


def headline(metric: str) -> str:
    """A metric's name as the title of a diagram."""
    return WORDS[metric].capitalize() + " over the static loss" * metric.startswith(GAIN)


def facts(cells: pd.DataFrame, metric: str, note: str = "") -> str:
    """What is the same in all cells, and on a line of its own what a reader has to know."""
    if metric.startswith(GAIN) and cells[f"{QUANTITIES[metric]}_pairs"].max() < 2:
        note = f"No significance with one seed. {note}"
    text = ", ".join([*shared(cells), labels.seeds_text(cells["seeds"])])
    return f"{text}\n{note}".strip()


def shared(cells: pd.DataFrame, without: Sequence[str] = ()) -> list[str]:
    """What all cells have in common, in words: what people ask first, then all that is not at its
    default; not the settings ``without``."""
    constant = set(setting_columns(cells)) - set(grid.swept(cells)) - set(without)
    words = [str(cells[name].iloc[0]) for name in ("dataset", "model") if name in constant]
    # The period of a static cell means nothing: tell that of the others.
    dynamical = cells[cells["amplitude"] != 1]
    for name in ALWAYS:
        if name in constant:
            rows = dynamical if name == "period" else cells
            words += [labels.assignment(name, value, " ") for value in rows[name].dropna().head(1)]
    epochs = cells.get("epochs")
    unit = "steps" if epochs is None or epochs.isna().any() else "epochs"
    if unit in constant:
        words.append(f"{int(cells[unit].iloc[0]):,} {unit}")
    others = unusual(cells, (*ALWAYS, "steps", "epochs", *without))
    words += [labels.assignment(name, value, " ") for name, value in others.items()]
    return words


def starts_static(name: str, scale: Scale) -> bool:
    """Whether the first of several values on the axis is that of the static loss."""
    return name == "amplitude" and len(scale.values) > 1 and bool(scale.values[0] == 1)


def ticks(ax: Axes, which: str, name: str, scale: Scale) -> None:
    """Ticks at the values of the setting ``name``, with as many labels as fit.

    ``which`` is ``x`` or ``y``; ``ax`` has the scale's limits already, and axes that share them
    get the same ticks. Words that do not fit beside each other stand upright.
    """
    line = ax.xaxis if which == "x" else ax.yaxis
    texts = [_wrapped(labels.number(value), TICK_LETTERS) for value in scale.values]
    static = starts_static(name, scale)
    if static:
        texts[0] = "1 (static)" if which == "y" else "1\nstatic"
    em = float(line.get_major_ticks(1)[0].label1.get_fontsize()) / 72
    across, up = inches(ax)
    high = 1.5 * em * (1 if static else max(text.count("\n") + 1 for text in texts))
    if which == "y":
        gap = high / up
    else:
        gap = (0.62 * max(map(len, "\n".join(texts).split("\n"))) + 0.8) * em / across
    chosen = grid.ticks(scale, gap, 1 if static else None)
    turned = which == "x" and len(chosen) < len(texts) and scale.words
    if turned:
        chosen = grid.ticks(scale, high / across)
    rest = np.setdiff1d(np.arange(len(texts)), chosen)
    line.set_ticks(list(scale.positions[chosen]), [texts[index] for index in chosen])
    line.set_ticks(list(scale.positions[rest]), minor=True)
    line.set_minor_formatter(NullFormatter())
    if turned:
        for shared in ax.get_shared_x_axes().get_siblings(ax):
            shared.tick_params("x", rotation=90)


def _wrapped(text: str, letters: int) -> str:
    """Lines of at most so many letters; not broken within ``name = value``."""
    lines = text.replace(" = ", "\xa0=\xa0").split("\n")
    return "\n".join(textwrap.fill(line, letters) for line in lines).replace("\xa0", " ")
