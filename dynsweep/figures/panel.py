"""One panel of a phase diagram: coloured cells, their numbers, and marks on some of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from dynsweep.analysis import grid
from dynsweep.figures import style
from dynsweep.figures.captions import GAIN
from dynsweep.figures.layout import Layout

SIGNIFICANT = 0.05
SPARSE = 0.2  # part of a full grid
MISSING, FAILED, DIVERGED, INSIGNIFICANT = "missing", "failed", "diverged", "not significant"
MARKERS: dict[str, dict[str, Any]] = {
    FAILED: {"marker": "^", "facecolor": "white", "edgecolor": style.INK},
    DIVERGED: {"marker": "X", "facecolor": "white", "edgecolor": style.INK},
    INSIGNIFICANT: {"marker": "o", "facecolor": style.INK, "edgecolor": "white"},
}
LEGEND = {
    FAILED: "a run failed",
    DIVERGED: "a run diverged",
    INSIGNIFICANT: "not significant at 5 % (paired t-test, Benjamini-Hochberg)",
}
SEPARATOR: dict[str, Any] = {"color": "white", "linewidth": 0.8}
# Where in a cell a mark stands if a number has the middle, as parts of its width and height.
CORNERS = {FAILED: (0.12, 0.78), DIVERGED: (0.88, 0.78), INSIGNIFICANT: (0.88, 0.22)}


@dataclass
class Panel:
    """Cells over two axes.

    Attributes:
        axis: where to draw.
        rows: the cells, one row each.
        x, y: the settings on the axes.
        xs, ys: their scales, the same in all panels of a figure.
        layout: of the figure.
        seen: what is drawn that a legend has to explain.
    """

    axis: Axes
    rows: pd.DataFrame
    x: str
    y: str
    xs: grid.Scale
    ys: grid.Scale
    layout: Layout
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.axis.set_xscale("log" if self.xs.log else "linear")
        self.axis.set_yscale("log" if self.ys.log else "linear")
        self.axis.set_xlim(*self.xs.edges[[0, -1]])
        self.axis.set_ylim(*self.ys.edges[[0, -1]])
        self.static_column = _starts_static(self.x, self.xs)
        self.static_row = _starts_static(self.y, self.ys)
        widths = np.diff(self.layout.inches(self.xs, "x"))
        heights = np.diff(self.layout.inches(self.ys, "y"))
        # A number of four letters needs this room, inches.
        self.written = widths.min() > 0.36 and heights.min() > 0.19
        # Values that come from a search fill little of their grid, and read better as points.
        grid_size = len(self.xs.values) * len(self.ys.values)
        self.sparse = len(self.rows) < SPARSE * grid_size and grid_size > 50
        self.room = 72 * min(float(np.median(widths)), float(np.median(heights)))

    def matrix(self, values: pd.Series) -> NDArray[np.float64]:
        """Values of the rows as an array ``(y, x)``; NaN where the grid has no such cell."""
        table = self.rows[[self.x, self.y]].assign(_value=values.astype(float))
        table = table.drop_duplicates([self.x, self.y])
        wide = table.pivot(index=self.y, columns=self.x, values="_value")
        return wide.reindex(index=self.ys.values, columns=self.xs.values).to_numpy(float)

    def draw(self, column: str, norm: Normalize, colours: str) -> Any:
        """Colour the cells by ``column``; returns what the colour bar is made from."""
        values = self.matrix(self.rows[column])
        if self.sparse:
            return self._points(column, norm, colours)
        shown = np.ma.masked_invalid(values)
        if np.isnan(values).any():
            look = {"facecolor": style.MISSING, "hatch": "////", "edgecolor": style.HATCH}
            self.axis.patch.set(**look, linewidth=0)
        mesh = self.axis.pcolormesh(
            self.xs.edges, self.ys.edges, shown, norm=norm, cmap=colours, rasterized=True
        )
        self._separate(max(values.shape) <= 12)
        if self.written:
            self._write(shown, mesh)
        if (np.isnan(values) & ~(self.matrix(self.rows["seeds"]) > 0)).any():
            self.seen.add(MISSING)
        taken = np.zeros(values.shape, dtype=bool)
        for name, flags in self._marks(column).items():
            at = self.matrix(flags) == 1
            self._mark(name, at & ~taken, self.written)
            self._mark(name, at & taken, corner=True)
            taken |= at
        return mesh

    def _points(self, column: str, norm: Normalize, colours: str) -> Any:
        """Cells as dots at their positions."""
        self.axis.set_facecolor(style.MISSING)
        x, y = self.xs.at(self.rows[self.x]), self.ys.at(self.rows[self.y])
        values = self.rows[column].to_numpy(float)
        return self.axis.scatter(
            x, y, c=values, s=26, norm=norm, cmap=colours, edgecolor=style.INK, linewidth=0.4
        )

    def _separate(self, cells: bool) -> None:
        """Lines between cells, and a dark one beside the static loss, itself one cell."""
        xs, ys = self.xs.edges, self.ys.edges
        if cells:
            self.axis.vlines(xs[1:-1], ys[int(self.static_row)], ys[-1], **SEPARATOR)
            self.axis.hlines(ys[1:-1], xs[int(self.static_column)], xs[-1], **SEPARATOR)
        if self.static_column:
            self.axis.axvline(xs[1], color=style.INK, linewidth=1.2)
        if self.static_row:
            self.axis.axhline(ys[1], color=style.INK, linewidth=1.2)

    def _write(self, shown: Any, mesh: Any) -> None:
        """The numbers, in the middle of the cells; one for the static loss."""
        red, green, blue, _ = np.moveaxis(mesh.to_rgba(shown), -1, 0)
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        signed = mesh.get_cmap().name == style.DIVERGING
        wanted = ~np.ma.getmaskarray(shown)
        if self.static_row or self.static_column:
            line = shown[0] if self.static_row else shown[:, 0]
            if line.count() == line.size and np.ptp(line) < 1e-9:
                wanted[(0, ...) if self.static_row else (..., 0)] = False
                text = "static loss" if signed else f"static loss {_short(line[0], signed)}"
                self._write_static(text, bool(dark[0, 0]))
        rows, columns = np.nonzero(wanted)
        x, y = _part(self.xs, columns, 0.5), _part(self.ys, rows, 0.5)
        for x_, y_, value, on in zip(x, y, shown[wanted], dark[wanted], strict=True):
            self.axis.text(x_, y_, _short(float(value), signed), **self._text(bool(on)))

    def _write_static(self, text: str, dark: bool) -> None:
        """In the middle of the row or column of the static loss."""
        look, first = self._text(dark), np.array([0])
        if self.static_row:
            y = float(_part(self.ys, first, 0.5)[0])
            self.axis.text(0.5, y, text, transform=self.axis.get_yaxis_transform(), **look)
        else:
            x = float(_part(self.xs, first, 0.5)[0])
            across = self.axis.get_xaxis_transform()
            self.axis.text(x, 0.5, text, transform=across, rotation=90, **look)

    def _text(self, dark: bool) -> dict[str, Any]:
        colour = "white" if dark else style.INK
        return {"ha": "center", "va": "center", "fontsize": style.SMALL, "color": colour}

    def _marks(self, column: str) -> dict[str, pd.Series]:
        marks = {name: self.rows[name] > 0 for name in (FAILED, DIVERGED)}
        if column.endswith(GAIN):
            marks[INSIGNIFICANT] = self.rows[f"{column}_p_corrected"] > SIGNIFICANT
        return marks

    def _mark(self, name: str, at: NDArray[np.bool_], corner: bool) -> None:
        """Mark cells in their middle, or in a corner where the middle is taken."""
        if not at.any():
            return
        self.seen.add(name)
        rows, columns = np.nonzero(at)
        across, up = CORNERS[name] if corner else (0.5, 0.5)
        dot = name == INSIGNIFICANT
        size = min(self.room * (0.25 if dot else 0.6), (3.5 if dot else 4.5) if corner else 6)
        self.axis.scatter(
            _part(self.xs, columns, across),
            _part(self.ys, rows, up),
            s=size**2,
            linewidth=0.5 if dot else min(0.7, size / 8),
            zorder=3,
            **MARKERS[name],
        )


def handles(seen: set[str]) -> list[Any]:
    """Legend entries for what was drawn."""
    made: list[Any] = []
    if MISSING in seen:
        made.append(
            Patch(facecolor=style.MISSING, edgecolor=style.HATCH, hatch="////", label="no result")
        )
    for name in (FAILED, DIVERGED, INSIGNIFICANT):
        if name in seen:
            look = MARKERS[name]
            made.append(
                Line2D(
                    [],
                    [],
                    linestyle="none",
                    marker=look["marker"],
                    label=LEGEND[name],
                    markerfacecolor=look["facecolor"],
                    markeredgecolor=look["edgecolor"],
                    markersize=4 if name == INSIGNIFICANT else 6,
                    markeredgewidth=0.2 if name == INSIGNIFICANT else 0.7,
                )
            )
    return made


def _starts_static(name: str, at: grid.Scale) -> bool:
    return name == "amplitude" and len(at.values) > 1 and at.values[0] == 1


def _part(at: grid.Scale, index: NDArray[np.int_], part: float) -> NDArray[np.float64]:
    """Coordinates inside cells, at a part of their extent."""
    edges = at.stretched(at.edges)
    inside = edges[index] * (1 - part) + edges[index + 1] * part
    return np.asarray(10**inside if at.log else inside)


def _short(value: float, signed: bool) -> str:
    """Two decimals; an accuracy below 1 does not become 1.00."""
    if 0.995 <= value < 1 and not signed:
        return ">0.99"
    if abs(value) < 0.005:
        return "0.00"
    return (f"{value:+.2f}" if signed else f"{value:.2f}").replace("-", "\N{MINUS SIGN}")
