"""From the table of cells to what a diagram shows: axes, panels, and one matrix per panel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from dynsweep.analysis.columns import DYNAMICAL_SETTINGS, setting_columns, varying
from dynsweep.config.labels import assignment, number

ODD = 3  # digits that a round label has at most, 2 with a decimal point
ENOUGH = 5  # labels of an axis
# Order of preference for axes; y takes the later one.
PREFERENCE = ("period", "width", "lr")


@dataclass(frozen=True)
class Scale:
    """Where the ascending values of a setting stand on an axis.

    Positions are the values themselves, or 0, 1, ... for words and for a single value; edges are
    the borders of the cells, halfway between neighbours (on a log axis: geometric means).
    """

    values: list[Any]
    positions: NDArray[np.float64]
    edges: NDArray[np.float64]
    log: bool

    @property
    def words(self) -> bool:
        """Whether some values are no numbers."""
        return any(isinstance(value, str | bool | np.bool_) for value in self.values)

    def parts(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates as parts of the axis, from 0 to 1."""
        stretched = np.log10 if self.log else np.asarray
        low, high = stretched(self.edges[[0, -1]])
        return np.asarray((stretched(coordinates) - low) / (high - low))

    def at(self, values: pd.Series) -> NDArray[np.float64]:
        """Positions of values of the axis."""
        return np.asarray([self.positions[self.values.index(value)] for value in values])


def scale(values: pd.Series) -> Scale:
    """The axis for the distinct values of a column."""
    distinct = sorted(values.dropna().unique(), key=lambda value: (str(type(value)), value))
    if len(distinct) < 2 or not is_numeric_dtype(values) or is_bool_dtype(values):
        ranks = np.arange(len(distinct) + 1.0)
        return Scale(distinct, ranks[:-1], ranks - 0.5, log=False)
    positions = np.array(distinct, dtype=float)
    log = log_spaced(positions)
    at = np.log10(positions) if log else positions
    middle = (at[1:] + at[:-1]) / 2
    edges = np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])
    return Scale(distinct, positions, 10**edges if log else edges, log)


def log_spaced(values: NDArray[np.float64]) -> bool:
    """Whether ascending ``values`` are spaced more evenly by their logarithms.

    Two values are equally spaced either way: from a factor of 5 on they count as log-spaced.
    """
    if values[0] <= 0:
        return False
    if len(values) == 2:
        return bool(values[1] >= 5 * values[0])

    def unevenness(at: NDArray[np.float64]) -> float:
        gaps = np.diff(at)
        return float(gaps.std() / gaps.mean())

    return unevenness(np.log(values)) < unevenness(values)


def swept(cells: pd.DataFrame) -> list[str]:
    """Settings with several values; those that only dynamical runs have, among these."""
    dynamical = cells[cells["amplitude"] != 1]
    own = varying(dynamical if len(dynamical) else cells)
    return [name for name in varying(cells) if name in own or name not in DYNAMICAL_SETTINGS]


def choose_axes(cells: pd.DataFrame) -> tuple[str | None, str | None]:
    """The two axes that a diagram has by default: period and amplitude if both were swept,
    else the numeric settings with most values.

    An amplitude of two values, one of them static, is a comparison and no axis: then, or
    where one setting alone was swept, y is ``None`` and a line reads better. Both are
    ``None`` where nothing was swept.
    """
    names = swept(cells)
    amplitudes = set(cells["amplitude"].unique())
    others = [name for name in names if name != "amplitude"]
    if len(amplitudes) == 2 and 1 in amplitudes and others:
        names = others
    if "period" in names and "amplitude" in names:
        return "period", "amplitude"

    def rank(name: str) -> tuple[bool, int]:
        return not is_numeric_dtype(cells[name]), -cells[name].nunique()

    best = sorted(names, key=rank)[:2]
    best.sort(key=lambda name: PREFERENCE.index(name) if name in PREFERENCE else len(PREFERENCE))
    x, y, *_ = [*best, None, None]
    return x, y


def panel_settings(cells: pd.DataFrame, axes: list[str]) -> list[str]:
    """Swept settings that are no axis; without those that follow from the ones before."""
    chosen: list[str] = []
    for name in swept(cells):
        more = [*chosen, name]
        if name not in axes and len(cells[more].drop_duplicates()) > _combinations(cells, chosen):
            chosen = more
    return chosen


def line_settings(cells: pd.DataFrame, x: str) -> list[str]:
    """Swept settings that a line over ``x`` leaves to panels: the static loss is a line beside the
    dynamical one, where there is one amplitude besides."""
    several = cells.loc[cells["amplitude"] != 1, "amplitude"].nunique() > 1
    return panel_settings(cells, [x] if several else [x, "amplitude"])


def _combinations(cells: pd.DataFrame, settings: list[str]) -> int:
    return len(cells[settings].drop_duplicates()) if settings else 1


def is_search(cells: pd.DataFrame, panels: list[str]) -> bool:
    """Whether most panels would hold a point or two: values that a search tried, no grid."""
    count = _combinations(cells, panels)
    return count > 12 and 2 * count > len(cells)


def spread_static(cells: pd.DataFrame, panels: list[str]) -> pd.DataFrame:
    """Put the static loss where it belongs in a diagram with these panels.

    At amplitude 1 the period means nothing: one trained static cell stands for all periods
    of the grid, and where amplitude is a panel there is one static panel.
    """
    is_static = cells["amplitude"] == 1
    if not is_static.any() or is_static.all():
        return cells
    free = [name for name in DYNAMICAL_SETTINGS if name in swept(cells)]
    others = ("amplitude", *DYNAMICAL_SETTINGS)
    context = [name for name in setting_columns(cells) if name not in others]
    dynamical = cells[~is_static]
    static = cells[is_static].sort_values("seeds", ascending=False, kind="stable")
    static = static.drop_duplicates(context)
    if "amplitude" in panels:
        static = static.assign(**{name: np.nan for name in free if name in panels})
        free = [name for name in free if name not in panels]
    if free:
        places = dynamical[[*context, *free]].drop_duplicates()
        static = static.drop(columns=free).merge(places, on=context, how="left")
        known = static[free[0]].notna()
        orphans = cells[is_static].merge(static.loc[~known, context], on=context)
        static = pd.concat([static[known], orphans])
    return pd.concat([static[cells.columns], dynamical], ignore_index=True)


def placed(cells: pd.DataFrame, panels: list[str], axes: list[str]) -> pd.DataFrame:
    """The cells of a diagram, see :func:`spread_static`. On an axis, null is a value among others;
    static cells without a period have no place."""
    table = spread_static(cells, panels)
    for name in set(axes).difference(DYNAMICAL_SETTINGS):
        if table[name].isna().any():
            held = table[name].astype(object)
            table = table.assign(**{name: held.where(held.notna(), number(None))})
    return table.dropna(subset=axes)


def split(cells: pd.DataFrame, panels: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """Title, as in ``width = 100, lr = 1``, and rows of each panel, in order."""
    if not panels:
        return [("", cells)]
    parts = []
    for key, rows in cells.groupby(panels, dropna=False, sort=True):
        values = dict(zip(panels, key, strict=True))
        dynamical = values.get("amplitude") != 1
        words = [
            assignment(name, value) if dynamical or name != "amplitude" else "static (A = 1)"
            for name, value in values.items()
            if dynamical or name not in DYNAMICAL_SETTINGS
        ]
        parts.append((dynamical, ", ".join(words), rows))
    # The static loss first: the others are compared with it.
    return [(title, rows) for _, title, rows in sorted(parts, key=lambda part: part[0])]


def ticks(at: Scale, gap: float, first: Any = None) -> list[int]:
    """Which values get a label: all that keep ``gap``, a part of the axis, from each other; else
    ``first`` and then round ones before others. Odd ones, such as 12.9, fill no gaps between
    round ones."""
    last = len(at.values) - 1

    def digits(index: int) -> str:
        return number(at.values[index]).replace(",", "").replace(".", "").strip("0")

    def roundness(index: int) -> tuple[bool, int, bool, int]:
        found, ends = digits(index), index in (0, last)
        return at.values[index] != first, len(found), found != "1" and not ends, index

    chosen: list[int] = []
    places = at.parts(at.positions)
    for index in sorted(range(len(at.values)), key=roundness):
        odd = (
            not at.words
            and index != last
            and len(digits(index)) > ODD - (at.values[index] % 1 > 0)
        )
        if odd and len(chosen) >= ENOUGH:
            continue
        if all(abs(places[index] - places[other]) >= gap for other in chosen):
            chosen.append(index)
    return sorted(chosen)
