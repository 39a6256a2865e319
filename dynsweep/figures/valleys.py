"""The valley that a run lies in: its profile along a cycle, and depth over width."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dynsweep.analysis.valleys import KINDS, profile
from dynsweep.figures import layout, style
from dynsweep.figures.animation import frame, save_gif

TIMES = 8  # of a cycle, side by side
LINES: dict[str, dict[str, Any]] = {
    "": {"color": style.INK, "linewidth": 1.5},
    "_emphasised": {"color": style.COLOURS[0], "linewidth": 1.2, "linestyle": "--"},
    "_others": {"color": style.COLOURS[5], "linewidth": 1.2, "linestyle": ":"},
    "_random": {"color": style.INK, "linewidth": 1.5},
}
POINT: dict[str, Any] = {
    "color": style.COLOURS[1], "marker": "o", "markersize": 6, "linestyle": "none",
    "markeredgecolor": style.INK, "markeredgewidth": 0.7, "zorder": 4, "label": "weights W",
}  # fmt: skip
# Start and end of a cycle look different; without the yellow that vanishes on white.
TIME = ListedColormap(colormaps["plasma"](np.linspace(0, 0.86, 256)))


@style.styled
def valley_profiles(
    cycle: pd.DataFrame, reach: float, period: float, facts: str = "", *, random: bool = False
) -> Figure:
    """Draw the profile at eight times of a cycle, or at as many as were recorded.

    Args:
        cycle: the rows of one cycle, as :func:`dynsweep.analysis.valleys.one_cycle` gives them.
        reach: largest \N{VERTICAL LINE}a\N{VERTICAL LINE} of the profiles.
        period: steps of a cycle.
        facts: the run's settings.
        random: along the random direction, not along the first eigenvector.
    """
    chosen = cycle.iloc[np.unique(np.arange(TIMES) * len(cycle) // TIMES)]
    titles = [f"t = {row['step']:,.0f}\n{_part(row, period)}" for _, row in chosen.iterrows()]
    direction = "a random direction" if random else "the first Hessian eigenvector"
    figure, axes = layout.panels(titles, "a", "$F(W + a v, t)$")
    ends = ("_random",) if random else ("", "_emphasised", "_others")
    for ax, (_, row) in zip(axes, chosen.iterrows(), strict=True):
        _draw(ax, row, reach, ends)
    axes[0].set_ylim(0, _top(cycle, reach, ends[0]))
    layout.legend(figure)
    return style.title(figure, f"The valley along v, {direction}", facts)


@style.styled
def save_valley_animation(
    cycle: pd.DataFrame, reach: float, period: float, path: Path, facts: str = "", *, fps: int = 6
) -> Path:
    """Write a GIF of one cycle: the profile with the point W, and the floor over the width."""
    figure = Figure(figsize=(6.8, 3.4))
    left, right = figure.subplots(1, 2)
    style.title(figure, "A valley in one cycle", facts)
    width, floor = cycle["valley_width"], cycle["valley_floor"]
    frames, top = [], _top(cycle, reach, "")
    for count, (_, row) in enumerate(cycle.iterrows(), start=1):
        left.clear()
        right.clear()
        _draw(left, row, reach, ("", "_emphasised", "_others"))
        left.set(ylim=(0, top), xlabel="a", ylabel="$F(W + a v, t)$")
        left.set_title(f"t = {row['step']:,.0f} ({_part(row, period)})")
        right.plot(width, floor, color="0.88", linewidth=1)
        right.plot(width[:count], floor[:count], color=style.COLOURS[4], linewidth=1.2)
        right.plot(
            width.iloc[count - 1], floor.iloc[count - 1], **POINT | {"marker": "s", "label": "_"}
        )
        right.set(xlabel="width of the valley", ylabel="floor of the valley")
        right.set_title("deep and wide: down and right")
        if count == 1:
            layout.legend(figure)
        frames.append(frame(figure, 80))
        figure.set_layout_engine("none")  # axes stay where they are, and frames are quick
    return save_gif(frames, path, fps, hold=1)


@style.styled
def valley_depths(table: pd.DataFrame, found: pd.DataFrame, facts: str = "") -> Figure:
    """Draw the floor over the width of the valleys of one run, coloured by the time in a cycle.

    Args:
        table: the run's rows of :func:`dynsweep.analysis.valleys.valleys`, static ones left out.
        found: the run's :func:`dynsweep.analysis.valleys.correlations`.
        facts: the run's settings.
    """
    kinds = {end: words for end, words in KINDS.items() if f"valley_floor{end}" in table}
    figure = Figure(figsize=(7.6, 6.2))
    axes = figure.subplots(2, -(-len(kinds) // 2)).flat
    of = found.set_index("of")
    points = None
    for ax, (end, words) in zip(axes, kinds.items(), strict=False):
        x, y = table[f"valley_width{end}"], table[f"valley_floor{end}"]
        for _, one in table.groupby("cycle"):
            ax.plot(x[one.index], y[one.index], color="0.85", linewidth=0.5, zorder=1)
        points = ax.scatter(x, y, c=table["phase"], s=9, cmap=TIME, vmin=0, vmax=1, linewidth=0)
        numbers = f"{of['within'][words]:.2f} within a cycle"
        if of["cycles"][words] > 2:
            numbers += f", {of['between'][words]:.2f} between"
        ax.set_title(f"{words}: rank correlation\n{numbers}")
        ax.set(xlabel="width", ylabel="floor (loss at the minimum)", yscale="log")
        style.round_ticks(ax.yaxis)
    if points is not None:
        bar = figure.colorbar(points, ax=list(figure.axes), aspect=40)
        bar.set_label("time within the cycle (part of T)")
    return style.title(figure, "Depth and width of valleys: deep is down, wide is right", facts)


def _draw(ax: Axes, row: pd.Series, reach: float, ends: tuple[str, ...]) -> None:
    """One profile, its parts, the point, and the width where it was taken."""
    for end in ends:
        a, loss = profile(row, reach, end)
        ax.plot(a, loss, label=KINDS[end], **LINES[end])
        if end == ends[0]:
            ax.plot(0, loss[len(a) // 2], **POINT)
            if np.isfinite(floor := row[f"valley_floor{end}"]):
                ax.axhline(floor, color="0.6", linewidth=0.8, zorder=0.5, label="floor")
    ax.set_xlim(-reach, reach)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _top(cycle: pd.DataFrame, reach: float, end: str) -> float:
    """Of the axis: above every floor, and what most profiles reach a third of the way out."""
    shown = np.array([profile(row, reach, end)[1] for _, row in cycle.iterrows()])
    third = shown.shape[1] // 3
    walls = np.median(shown[:, [third, -1 - third]])
    floors = np.nan_to_num(cycle[f"valley_floor{end}"].max())
    return float(min(1.05 * shown.max(), max(2 * floors, walls)))


def _part(row: pd.Series, period: float) -> str:
    return f"{row['step'] / period % 1:.2f} of the cycle"
