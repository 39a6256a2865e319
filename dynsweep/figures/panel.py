"""One panel of a phase diagram: coloured cells, their numbers, and marks on some of them."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from dynsweep.analysis.columns import GAIN, QUANTITIES, cell_column
from dynsweep.analysis.grid import Scale
from dynsweep.figures import style
from dynsweep.figures.layout import inches, starts_static
from dynsweep.store import DIVERGED, FAILED

SPARSE = 0.2  # part of a full grid
SIGNIFICANT = 0.05
INSIGNIFICANT = "not significant"
# Keywords of plot() for cells and points whose runs failed or diverged, or whose gain may be
# chance.
LOOK: dict[str, Any] = {
    "linestyle": "none", "markeredgewidth": 0.7, "markerfacecolor": "white",
    "markeredgecolor": style.INK,
}  # fmt: skip
MARKS = {
    FAILED: LOOK | {"marker": "^", "label": "a run failed"},
    DIVERGED: LOOK | {"marker": "X", "label": "a run diverged"},
    INSIGNIFICANT: LOOK | {
        "marker": "o", "label": "not significant at 5 % (paired t-test, Benjamini-Hochberg)",
        "markeredgewidth": 0.3, "markerfacecolor": style.INK, "markeredgecolor": "white",
    },
}  # fmt: skip
# Where in a cell a mark stands if a number has the middle, as parts of its width and height.
CORNERS = {FAILED: (0.12, 0.78), DIVERGED: (0.88, 0.78), INSIGNIFICANT: (0.88, 0.22)}


def marked(cells: pd.DataFrame, metric: str) -> dict[str, pd.Series]:
    """For each mark that some cells have, which of them."""
    flags = {name: cells[name] > 0 for name in (FAILED, DIVERGED)}
    if metric.startswith(GAIN):
        flags[INSIGNIFICANT] = cells[f"{QUANTITIES[metric]}_p_corrected"] > SIGNIFICANT
    return {name: which for name, which in flags.items() if which.any()}


class Panel:
    """Cells over the settings ``x`` and ``y``, whose scales all panels of a figure share."""

    def __init__(
        self, ax: Axes, cells: pd.DataFrame, x: str, y: str, scales: tuple[Scale, Scale],
        finer: bool = False,
    ) -> None:  # fmt: skip
        self.ax, self.cells, self.x, self.y = ax, cells, x, y
        self.xs, self.ys, self.finer = *scales, finer
        ax.set(
            xscale="log" if self.xs.log else "linear", xlim=self.xs.edges[[0, -1]],
            yscale="log" if self.ys.log else "linear", ylim=self.ys.edges[[0, -1]],
        )  # fmt: skip
        ax.grid(visible=False)
        self.static_column = starts_static(x, self.xs)
        self.static_row = starts_static(y, self.ys)
        # Values that come from a search fill little of their grid, and read better as points.
        grid_size = len(self.xs.values) * len(self.ys.values)
        self.sparse = len(cells) < SPARSE * grid_size and grid_size > 50 and not finer
        self.x_edges, self.y_edges = self.xs.parts(self.xs.edges), self.ys.parts(self.ys.edges)

    def draw(self, metric: str, norm: Normalize, cmap: str) -> None:
        """Colour the cells by a metric; what a legend has to explain gets a label."""
        values = self.cells[cell_column(metric)].astype(float)
        if self.sparse:
            self.ax.set_facecolor(style.MISSING)
            self.ax.scatter(
                self.xs.at(self.cells[self.x]), self.ys.at(self.cells[self.y]), s=26, c=values,
                norm=norm, cmap=cmap, edgecolor=style.INK, linewidth=0.4,
            )  # fmt: skip
            return
        edges = [self.xs.edges, self.ys.edges]
        if self.finer:
            *edges, colours = self._patches(values)
        else:
            colours = self._matrix(values)
        empty = np.isnan(colours)
        if empty.any():
            missing = empty & ~(self._matrix(self.cells["seeds"]) > 0) if not self.finer else empty
            self.ax.add_patch(Rectangle(
                (0, 0), 1, 1, transform=self.ax.transAxes, zorder=0, hatch="////", linewidth=0,
                facecolor=style.MISSING, edgecolor="0.72",
                label="no result" if missing.any() else "_",
            ))  # fmt: skip
        mesh = self.ax.pcolormesh(
            *edges, np.ma.masked_invalid(colours),
            norm=norm, cmap=cmap, rasterized=True,
        )  # fmt: skip
        self._draw_lines(between_cells=max(colours.shape) <= 12)
        width, height = inches(self.ax)
        widths, heights = np.diff(self.x_edges) * width, np.diff(self.y_edges) * height
        # A number of four letters needs this room, inches.
        numbers = bool(widths.min() > 0.36 and heights.min() > 0.19) and not self.finer
        if numbers:
            self._write_numbers(mesh)
        room = 72 * min(float(np.median(widths)), float(np.median(heights)))
        self._draw_marks(marked(self.cells, metric), numbers, room)

    def _matrix(self, values: pd.Series) -> NDArray[np.float64]:
        """Values of the cells as an array ``(y, x)``; NaN where the grid has no such cell."""
        table = self.cells[[self.x, self.y]].assign(_value=values.astype(float))
        table = table.drop_duplicates([self.x, self.y])
        wide = table.pivot(index=self.y, columns=self.x, values="_value")
        return wide.reindex(index=self.ys.values, columns=self.xs.values).to_numpy(float)

    def _patches(
        self, values: pd.Series
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Cells of different sizes: each reaches halfway to its neighbours. Edges of the axes, and
        the value of the nearest cell between these, ``(y, x)``."""
        from scipy.spatial import cKDTree

        edges, places = [], []
        for scale, name in ((self.xs, self.x), (self.ys, self.y)):
            fine = np.sort(np.concatenate([scale.edges, scale.positions]))
            unit = max(len(scale.values) - 1, 1)
            parts = unit * scale.parts(fine)
            edges.append(fine)
            at = scale.parts(scale.at(self.cells[name]))
            places.append(((parts[1:] + parts[:-1]) / 2, unit * at))
        (across, x), (up, y) = places
        middles = np.stack([*np.meshgrid(across, up)], axis=-1)
        _, nearest = cKDTree(np.stack([x, y], axis=1)).query(middles)
        return edges[0], edges[1], values.to_numpy(float)[nearest]

    def _draw_lines(self, between_cells: bool) -> None:
        """Lines between cells, and a dark one beside the static loss, itself one cell."""
        xs, ys = self.xs.edges, self.ys.edges
        if between_cells:
            self.ax.vlines(xs[1:-1], ys[int(self.static_row)], ys[-1], "white", linewidth=0.8)
            self.ax.hlines(ys[1:-1], xs[int(self.static_column)], xs[-1], "white", linewidth=0.8)
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
        static = self.static_row or self.static_column
        if static and wanted[line].all() and np.ptp(shown[line]) < 1e-9:
            wanted[line] = False
            text = "static loss" if signed else f"static loss {_short(shown[0, 0], signed)}"
            x, y = self._inside(0, 0)
            place, turn = ((0.5, y), 0) if self.static_row else ((x, 0.5), 90)
            self._write(place, text, bool(dark[0, 0]), turn)
        for row, col in zip(*np.nonzero(wanted), strict=True):
            text = _short(float(shown[row, col]), signed)
            self._write(self._inside(row, col), text, bool(dark[row, col]))

    def _inside(self, row: Any, col: Any, across: float = 0.5, up: float = 0.5) -> tuple[Any, Any]:
        """Places in cells, at parts of their extent, as parts of the axes."""
        x, y = self.x_edges, self.y_edges
        x_inside = x[col] * (1 - across) + x[np.add(col, 1)] * across
        return x_inside, y[row] * (1 - up) + y[np.add(row, 1)] * up

    def _write(self, place: tuple[float, float], text: str, dark: bool, turn: float = 0) -> None:
        self.ax.text(
            *place, text, transform=self.ax.transAxes, ha="center", va="center", rotation=turn,
            fontsize=style.SMALL, color="white" if dark else style.INK,
        )  # fmt: skip

    def _draw_marks(self, marks: dict[str, pd.Series], numbers: bool, room: float) -> None:
        """Marks in the middle of cells with this ``room``, their shorter side in points, or in a
        corner where the middle is taken by a number or another mark."""
        taken = np.full((len(self.ys.values), len(self.xs.values)), numbers)
        for name, flags in marks.items():
            at = self._matrix(flags) == 1
            dot = name == INSIGNIFICANT
            for corner, largest in ((False, 6), (True, 3.5 if dot else 4.5)):
                rows, columns = np.nonzero(at & (taken == corner))
                if len(rows):
                    x, y = self._inside(rows, columns, *(CORNERS[name] if corner else ()))
                    size = min(room * (0.25 if dot else 0.6), largest)
                    transform = self.ax.transAxes
                    self.ax.plot(
                        x, y, zorder=3, markersize=size, transform=transform, **MARKS[name]
                    )
            taken |= at


def _short(value: float, signed: bool) -> str:
    """Two decimals; an accuracy below 1 does not become 1.00."""
    if 0.995 <= value < 1 and not signed:
        return ">0.99"
    if abs(value) < 0.005:
        return "0.00"
    return (f"{value:+.2f}" if signed else f"{value:.2f}").replace("-", "\N{MINUS SIGN}")
