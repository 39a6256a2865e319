"""Panels, colour bar, titles and legend placed by inches, so that nothing can overlap."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter
from numpy.typing import NDArray

from dynsweep.analysis import grid
from dynsweep.analysis.grid import Scale
from dynsweep.config import labels
from dynsweep.figures import style

MAX_PANELS = 12

# Columns of panels by their number, and a panel's width and height by columns, inches.
COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4, 9: 3, 10: 4, 11: 4, 12: 4}
SIZES = {1: (5.6, 4.2), 2: (3.9, 3.3), 3: (2.6, 2.5), 4: (1.9, 1.9)}
LEFT, RIGHT, BAR, BOTTOM, LINE = 0.95, 0.95, 0.2, 0.58, 0.185


class Layout:
    """The places of one figure's parts.

    Args:
        panels: how many, 1 to 12.
        bar: whether there is a colour bar.
        square: whether panels are, with titles of two lines.
    """

    def __init__(self, panels: int, bar: bool = True, square: bool = False) -> None:
        self.panels, self.bar = panels, bar
        self.columns = COLUMNS[panels]
        self.rows = -(-panels // self.columns)
        self.size = SIZES[self.columns]
        if square:
            self.size = (min(self.size), min(self.size))
        self.tick = style.TICK if self.columns < 3 else style.SMALL
        self.title_height = 0.4 if square else 0.22
        self.between = (0.22, self.title_height + 0.14)
        self.width = LEFT + self.columns * self.size[0] + (self.columns - 1) * self.between[0]
        self.width += BAR + 0.2 + RIGHT if bar else 0.3
        self.bottom = BOTTOM
        self.height = self.rows * self.size[1] + (self.rows - 1) * self.between[1]

    def figure(self, drawn: Figure | None = None) -> tuple[Figure, list[Axes], Axes]:
        """The figure, its panels, and the axes of the colour bar; sizes come at the end.

        It is a new one unless an empty one is given, such as pyplot's in a notebook.
        """
        self.drawn = drawn or Figure(figsize=(self.width, self.height))
        self.axes = [self.drawn.add_axes((0, 0, 1, 1), label=str(i)) for i in range(self.panels)]
        self.bar_axes = self.drawn.add_axes((0, 0, 1, 1), label="bar")
        if not self.bar:
            self.bar_axes.remove()
        for axis in self.axes:
            for spine in axis.spines.values():
                spine.set(linewidth=0.6, color=style.INK)
        return self.drawn, self.axes, self.bar_axes

    def inches(self, scale: Scale, which: str) -> NDArray[np.float64]:
        """Edges of the cells along one axis of a panel, inches."""
        edges = scale.stretched(scale.edges)
        length = self.size[0] if which == "x" else self.size[1]
        return np.asarray((edges - edges[0]) / (edges[-1] - edges[0]) * length)

    def gap(self, which: str, texts: list[str]) -> float:
        """Least distance of two tick labels, as a part of the axis."""
        em = self.tick / 72
        if which == "y":
            return 1.5 * em / self.size[1]
        longest = max(len(line) for text in texts for line in text.split("\n"))
        return (0.62 * longest + 0.8) * em / self.size[0]

    def ticks(self, axis: Axes, which: str, name: str, scale: Scale, plain: bool = False) -> None:
        """Ticks at the values of the grid, with as many labels as fit; ``plain``: at round
        numbers, whatever the values."""
        line: Axis = axis.xaxis if which == "x" else axis.yaxis
        if plain:
            if scale.log:
                round_ticks(line, *scale.edges[[0, -1]])
            return
        static = name == "amplitude" and scale.values[0] == 1
        texts = [labels.number(value) for value in scale.values]
        if static:
            texts[0] = "1 (static)" if which == "y" else "1\nstatic"
            self.bottom = BOTTOM + (LINE if which == "x" else 0)
        chosen = grid.ticks(scale, self.gap(which, texts), 1 if static else None)
        line.set_major_locator(FixedLocator(list(scale.positions[chosen])))
        line.set_ticklabels([texts[index] for index in chosen])
        rest = [index for index in range(len(texts)) if index not in chosen]
        line.set_minor_locator(FixedLocator(list(scale.positions[rest])))
        line.set_minor_formatter(NullFormatter())

    def label(self, x: str, y: str) -> None:
        """Axis labels at the border panels; the others lose their tick labels."""
        for index, axis in enumerate(self.axes):
            if index % self.columns == 0:
                axis.set_ylabel(y, fontsize=style.LABEL, color=style.INK)
            else:
                axis.tick_params(labelleft=False)
            if index + self.columns >= self.panels:
                axis.set_xlabel(x, fontsize=style.LABEL, color=style.INK)
            else:
                axis.tick_params(labelbottom=False)

    def finish(self, title: str, facts: str, handles: list[Any], note: str = "") -> None:
        """Titles above, legend and note below, and the final size."""
        facts = textwrap.fill(facts, int(self.width * 13))
        lines = facts.count("\n") + 1
        head = 0.42 + LINE * lines + (self.title_height if self.axes[0].get_title() else 0)
        foot = self.bottom + LINE * (len(handles) if self.width < 8 else bool(handles))
        foot += LINE * bool(note)
        total = head + self.height + foot
        self.drawn.set_size_inches(self.width, total)
        for index, axis in enumerate(self.axes):
            row, column = divmod(index, self.columns)
            left = LEFT + column * (self.size[0] + self.between[0])
            low = foot + (self.rows - 1 - row) * (self.size[1] + self.between[1])
            axis.set_position(self._place(left, low, *self.size, total))
        if self.bar:
            left = self.width - RIGHT - BAR
            self.bar_axes.set_position(self._place(left, foot, BAR, self.height, total))
        place: dict[str, Any] = {
            "x": LEFT / self.width,
            "ha": "left",
            "va": "top",
            "color": style.INK,
        }
        self.drawn.text(
            y=1 - 0.12 / total, s=title, fontsize=style.TITLE, fontweight="bold", **place
        )
        self.drawn.text(y=1 - 0.36 / total, s=facts, fontsize=style.TICK, **place)
        if handles:
            self.drawn.legend(
                handles=handles, loc="upper left", frameon=False, fontsize=style.TICK,
                bbox_to_anchor=((LEFT - 0.1) / self.width, (foot - self.bottom + 0.06) / total),
                ncols=1 if self.width < 8 else len(handles), borderaxespad=0, borderpad=0,
                handletextpad=0.5, labelspacing=0.3, labelcolor=style.INK,
            )  # fmt: skip
        if note:
            place["va"] = "bottom"
            self.drawn.text(y=0.07 / total, s=note, fontsize=style.TICK, **place)

    def _place(
        self, left: float, low: float, width: float, height: float, total: float
    ) -> tuple[float, float, float, float]:
        return left / self.width, low / total, width / self.width, height / total


def round_ticks(line: Axis, low: float, high: float) -> None:
    """Ticks of a log axis at 1, 2, 5, 10, ... or, over several decades, at powers of ten."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    digits = (1, 2, 5) if np.log10(high / low) < 2.5 else (1,)
    at = [digit * 10.0**decade for decade in decades for digit in digits]
    at = [value for value in at if low <= value <= high]
    line.set_major_locator(FixedLocator(at))
    line.set_ticklabels([labels.number(value) for value in at])
    line.set_minor_formatter(NullFormatter())
