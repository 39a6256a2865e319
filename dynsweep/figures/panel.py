"""One panel of a phase diagram: coloured cells, their numbers, and marks on some of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from dynsweep.analysis import grid
from dynsweep.analysis.columns import QUANTITIES, mean_column
from dynsweep.figures import style
from dynsweep.figures.layout import inches, starts_static
from dynsweep.figures.marks import HATCHED, INSIGNIFICANT, MARKS, MISSING, marked
from dynsweep.store import DIVERGED, FAILED

SPARSE = 0.2  # part of a full grid
SEPARATOR: dict[str, Any] = {"color": "white", "linewidth": 0.8}
# Where in a cell a mark stands if a number has the middle, as parts of its width and height.
CORNERS = {FAILED: (0.12, 0.78), DIVERGED: (0.88, 0.78), INSIGNIFICANT: (0.88, 0.22)}


class Panel:
    """Cells over two settings.

    Args:
        ax: where to draw.
        cells: a row each.
        x: setting of the horizontal axis.
        y: setting of the vertical axis.
        scales: of both, the same in all panels of a figure.
    """

    def __init__(
        self, ax: Axes, cells: pd.DataFrame, x: str, y: str, scales: tuple[grid.Scale, grid.Scale]
    ) -> None:
        self.ax, self.cells, self.x, self.y = ax, cells, x, y
        self.xs, self.ys = scales
        ax.set(
            xscale="log" if self.xs.log else "linear", xlim=self.xs.edges[[0, -1]],
            yscale="log" if self.ys.log else "linear", ylim=self.ys.edges[[0, -1]],
        )  # fmt: skip
        ax.grid(visible=False)
        self.static_column = starts_static(x, self.xs)
        self.static_row = starts_static(y, self.ys)
        # Values that come from a search fill little of their grid, and read better as points.
        grid_size = len(self.xs.values) * len(self.ys.values)
        self.sparse = len(cells) < SPARSE * grid_size and grid_size > 50

    def draw(self, metric: str, norm: Normalize, cmap: str) -> set[str]:
        """Colour the cells by a metric; returns the marks that a legend has to explain."""
        if self.sparse:
            self._draw_points(metric, norm, cmap)
            return set()
        values = self._matrix(self.cells[mean_column(QUANTITIES[metric])])
        if np.isnan(values).any():
            whole = Rectangle((0, 0), 1, 1, transform=self.ax.transAxes, zorder=0, **HATCHED)
            self.ax.add_patch(whole)
        mesh = self.ax.pcolormesh(
            self.xs.edges, self.ys.edges, np.ma.masked_invalid(values),
            norm=norm, cmap=cmap, rasterized=True,
        )  # fmt: skip
        self._draw_lines(between_cells=max(values.shape) <= 12)
        widths, heights = self._cell_sizes()
        # A number of four letters needs this room, inches.
        numbers = bool(widths.min() > 0.36 and heights.min() > 0.19)
        if numbers:
            self._write_numbers(mesh)
        marks = marked(self.cells, metric)
        self._draw_marks(marks, numbers)
        missing = np.isnan(values) & ~(self._matrix(self.cells["seeds"]) > 0)
        return {*marks, *([MISSING] if missing.any() else [])}

    def _matrix(self, values: pd.Series) -> NDArray[np.float64]:
        """Values of the cells as an array ``(y, x)``; NaN where the grid has no such cell."""
        table = self.cells[[self.x, self.y]].assign(_value=values.astype(float))
        table = table.drop_duplicates([self.x, self.y])
        wide = table.pivot(index=self.y, columns=self.x, values="_value")
        return wide.reindex(index=self.ys.values, columns=self.xs.values).to_numpy(float)

    def _cell_sizes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Widths of the columns and heights of the rows, inches."""
        width, height = inches(self.ax)
        return _parts(self.xs) * width, _parts(self.ys) * height

    def _draw_points(self, metric: str, norm: Normalize, cmap: str) -> None:
        """Cells as dots at their positions."""
        self.ax.set_facecolor(style.MISSING)
        self.ax.scatter(
            self.xs.at(self.cells[self.x]), self.ys.at(self.cells[self.y]), s=26,
            c=self.cells[mean_column(QUANTITIES[metric])].to_numpy(float), norm=norm, cmap=cmap,
            edgecolor=style.INK, linewidth=0.4,
        )  # fmt: skip

    def _draw_lines(self, between_cells: bool) -> None:
        """Lines between cells, and a dark one beside the static loss, itself one cell."""
        xs, ys = self.xs.edges, self.ys.edges
        if between_cells:
            self.ax.vlines(xs[1:-1], ys[int(self.static_row)], ys[-1], **SEPARATOR)
            self.ax.hlines(ys[1:-1], xs[int(self.static_column)], xs[-1], **SEPARATOR)
        if self.static_column:
            self.ax.axvline(xs[1], color=style.INK, linewidth=1.2)
        if self.static_row:
            self.ax.axhline(ys[1], color=style.INK, linewidth=1.2)

    def _write_numbers(self, mesh: ScalarMappable) -> None:
        """The numbers, in the middle of the cells; one for the static loss."""
        shown: Any = mesh.get_array()
        red, green, blue, _ = np.moveaxis(mesh.to_rgba(shown), -1, 0)
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        signed = mesh.get_cmap().name == style.DIVERGING
        wanted = ~np.ma.getmaskarray(shown)
        line = np.s_[0, :] if self.static_row else np.s_[:, 0]
        if self._static_is_one_value(shown[line]):
            wanted[line] = False
            text = "static loss" if signed else f"static loss {_short(shown[0, 0], signed)}"
            self._write_static(text, bool(dark[0, 0]))
        for row, col in zip(*np.nonzero(wanted), strict=True):
            x, y = _inside(self.xs, col, 0.5), _inside(self.ys, row, 0.5)
            text = _short(float(shown[row, col]), signed)
            self.ax.text(x, y, text, **_text_look(bool(dark[row, col])))

    def _static_is_one_value(self, line: Any) -> bool:
        """Whether all cells of the static loss exist and are equal."""
        static = self.static_row or self.static_column
        return bool(static and line.count() == line.size and np.ptp(line) < 1e-9)

    def _write_static(self, text: str, dark: bool) -> None:
        """In the middle of the row or column of the static loss."""
        if self.static_row:
            place, turn = (0.5, _inside(self.ys, 0, 0.5)), 0
            transform = self.ax.get_yaxis_transform()
        else:
            place, turn = (_inside(self.xs, 0, 0.5), 0.5), 90
            transform = self.ax.get_xaxis_transform()
        self.ax.text(*place, text, transform=transform, rotation=turn, **_text_look(dark))

    def _draw_marks(self, marks: dict[str, pd.Series], numbers: bool) -> None:
        """Marks in the middle of cells, or in a corner where the middle is taken."""
        taken = np.full((len(self.ys.values), len(self.xs.values)), numbers)
        widths, heights = self._cell_sizes()
        room = 72 * min(float(np.median(widths)), float(np.median(heights)))
        for name, flags in marks.items():
            at = self._matrix(flags) == 1
            dot = name == INSIGNIFICANT
            size = min(room * (0.25 if dot else 0.6), 6)
            for corner in (False, True):
                rows, columns = np.nonzero(at & (taken == corner))
                across, up = CORNERS[name] if corner else (0.5, 0.5)
                largest = (3.5 if dot else 4.5) if corner else 6
                look = MARKS[name] | {"markersize": min(size, largest)}
                if len(rows):
                    x, y = _inside(self.xs, columns, across), _inside(self.ys, rows, up)
                    self.ax.plot(x, y, zorder=3, **look)
            taken |= at


def _parts(scale: grid.Scale) -> NDArray[np.float64]:
    """Sizes of cells as parts of the axis."""
    edges = scale.stretched(scale.edges)
    return np.asarray(np.diff(edges) / (edges[-1] - edges[0]))


def _inside(scale: grid.Scale, index: Any, part: float) -> Any:
    """Coordinates inside cells, at a part of their extent."""
    edges = scale.stretched(scale.edges)
    inside = edges[index] * (1 - part) + edges[index + 1] * part
    return 10**inside if scale.log else inside


def _text_look(dark: bool) -> dict[str, Any]:
    colour = "white" if dark else style.INK
    return {"ha": "center", "va": "center", "fontsize": style.SMALL, "color": colour}


def _short(value: float, signed: bool) -> str:
    """Two decimals; an accuracy below 1 does not become 1.00."""
    if 0.995 <= value < 1 and not signed:
        return ">0.99"
    if abs(value) < 0.005:
        return "0.00"
    return (f"{value:+.2f}" if signed else f"{value:.2f}").replace("-", "\N{MINUS SIGN}")
