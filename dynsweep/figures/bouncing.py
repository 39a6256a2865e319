"""Bouncing against curvature: of one run over its sharpness, and where it starts in many."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from dynsweep.config import labels
from dynsweep.curvature.threshold import fit_power, known_sharpness
from dynsweep.figures import style

DASHED: dict[str, Any] = {"color": style.INK, "linewidth": 1, "linestyle": "--"}


@style.styled
def bifurcation(
    run: pd.DataFrame, lr: float, *, period: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a point per recorded step: one branch below 2 / lr, two where the loss bounces.

    Args:
        run: a row per recorded step with ``step``, ``loss_change`` and ``sharpness``; between
            the steps where the sharpness is known it is interpolated, elsewhere there is no point.
        lr: learning rate; 2 / lr is marked.
        period: T in steps; the colour is the time since the start of the cycle as a part of T,
            or without it the time t.
        ax: where to draw; axes of a new figure by default. The colour bar takes some of its room.

    Raises:
        ValueError: no step has a change of loss and a sharpness.
    """
    ax = ax if ax is not None else Figure().subplots()
    run = run.sort_values("step")
    step, change = run["step"].to_numpy(float), run["loss_change"].to_numpy(float)
    time, value = known_sharpness(step, run["sharpness"])
    shown = np.isfinite(change)
    if len(time):
        shown &= (time[0] <= step) & (step <= time[-1])
    if not len(time) or not shown.any():
        raise ValueError("no step with a change of loss and a sharpness")
    ax.axhline(0, color="0.6", linewidth=0.6)
    # Start and end of a cycle look different; without the yellow that vanishes on white.
    cmap = ListedColormap(colormaps["plasma"](np.linspace(0, 0.86, 256)))
    points = ax.scatter(
        np.interp(step[shown], time, value), change[shown], s=5, linewidth=0, rasterized=True,
        c=(step % period / period if period else step)[shown], cmap=cmap,
        vmin=0 if period else None, vmax=1 if period else None,
    )  # fmt: skip
    ax.axvline(2 / lr, label=f"2/lr = {labels.number(2 / lr)}", **DASHED)
    ax.legend(loc="upper left")
    ax.set_xlabel("largest Hessian eigenvalue of F(t)")
    ax.set_ylabel("change of loss $F(t) - F(t-1)$")
    figure: Any = ax.figure
    time_label = "time within the cycle (part of T)" if period else "time t (steps)"
    figure.colorbar(points, ax=ax, aspect=25, label=time_label)
    return ax


@style.styled
def threshold(onsets: pd.DataFrame, facts: str = "", *, figure: Figure | None = None) -> Figure:
    """Draw the onsets of many runs, on logarithmic axes.

    On the left against the learning rate, with a power law through all points and 2 / lr; on the
    right, if there are several widths, against the width.

    Args:
        onsets: a row per run: ``lr``, ``sharpness`` (that of
            :func:`dynsweep.curvature.threshold.onset`) and perhaps ``width``; rows without a
            positive, finite sharpness (runs that never bounced) are left out.
        facts: what the runs have in common.
        figure: an empty one to draw in.

    Raises:
        ValueError: no row is left.
    """
    onsets = onsets[np.isfinite(onsets["sharpness"]) & (onsets["sharpness"] > 0)]
    if onsets.empty:
        raise ValueError("no run with an onset")
    panels = 1 + ("width" in onsets and onsets["width"].nunique() > 1)
    figure = figure or Figure(figsize=(4.1 * panels + 1.2, 4.7))
    left, *right = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    _draw_onsets(left, onsets, "lr", "width" if right else None)
    _draw_law(left, onsets)
    left.legend(loc="upper right", fontsize=style.SMALL)
    left.set_ylabel("largest Hessian eigenvalue\nwhere bouncing starts")
    for ax in right:
        _draw_onsets(ax, onsets, "width", "lr")
        for lr, colour, _ in _looks(onsets["lr"]):
            ax.axhline(2 / lr, **DASHED | {"color": colour})
        ax.plot([], [], label="2/lr", **DASHED)
        # Lines of 2 / lr cross the whole panel.
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1.02), fontsize=style.SMALL)
    style.round_ticks(left.yaxis)
    return style.title(figure, "Threshold of bouncing", facts)


def _draw_onsets(ax: Axes, onsets: pd.DataFrame, x: str, by: str | None) -> None:
    """Onsets over ``x``, a mark for every value of ``by``."""
    looks = _looks(onsets[by]) if by else [(None, style.COLOURS[0], style.MARKERS[0])]
    for value, colour, marker in looks:
        part = onsets if by is None else onsets[onsets[by] == value]
        ax.plot(
            part[x], part["sharpness"], linestyle="none", marker=marker, markersize=4.5,
            color=colour, markeredgecolor="white", markeredgewidth=0.4,
            label="runs" if by is None else labels.assignment(by, value),
        )  # fmt: skip
    limits = float(onsets[x].min()) / 1.3, float(onsets[x].max()) * 1.3
    ax.set(xscale="log", yscale="log", xlim=limits, xlabel=labels.axis_label(x))
    style.round_ticks(ax.xaxis)


def _looks(values: pd.Series) -> list[tuple[float, str, str]]:
    """Every value with a colour and a marker."""
    # Learning rates and widths look different.
    start = 3 if values.name == "lr" else 0
    ordered = enumerate(sorted(values.unique()), start)
    return [(v, style.COLOURS[i % 16], style.MARKERS[i % 8]) for i, v in ordered]


def _draw_law(ax: Axes, onsets: pd.DataFrame) -> None:
    """2 / lr, and the power law of the points if there are several learning rates."""
    lr = np.array(ax.get_xlim())
    ax.plot(lr, 2 / lr, label="2/lr", **DASHED)
    law = fit_power(onsets["lr"], onsets["sharpness"])
    if np.isfinite(law.exponent):
        exponent = f"{law.exponent:.3f}".replace("-", "−")  # noqa: RUF001
        ax.plot(
            lr, law.factor * lr**law.exponent, color="0.55", linewidth=1.6, zorder=1.5,
            label=f"fit: {law.factor:.3g} lr$^k$, k = {exponent}",
        )  # fmt: skip
