"""Bouncing against curvature: the change of the loss over the largest Hessian eigenvalue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from dynsweep.config import labels
from dynsweep.curvature.threshold import known_sharpness
from dynsweep.figures import style

LEFT, RIGHT, TOP, BOTTOM = 1.0, 1.15, 0.68, 0.55  # inches
WIDTH, HEIGHT, BAR = 5.2, 3.8, 0.18


def draw_bifurcation(
    frame: pd.DataFrame,
    path_stem: Path | str,
    lr: float,
    title: str,
    *,
    period: float | None = None,
    span: tuple[float, float] | None = None,
) -> list[Path]:
    """Write :func:`bifurcation` as PNG and PDF; returns the two paths."""
    return style.save_all(bifurcation(frame, lr, title, period=period, span=span), path_stem)


def bifurcation(
    frame: pd.DataFrame,
    lr: float,
    title: str,
    *,
    period: float | None = None,
    span: tuple[float, float] | None = None,
) -> Figure:
    """Draw a point per recorded step: one branch below 2 / lr, two where the loss bounces.

    Args:
        frame: one run with ``step``, ``loss_change`` and ``sharpness``; between the steps where
            the sharpness is known it is interpolated, elsewhere there is no point.
        lr: learning rate; 2 / lr is marked.
        title: the run's settings.
        period: T in steps; the colour is the time since the start of the cycle as a part of T,
            or without it the time t.
        span: first and last step shown; all of them if left out.
    """
    frame = frame.sort_values("step")
    if span:
        frame = frame[frame["step"].between(*span)]
    step, change = frame["step"].to_numpy(float), frame["loss_change"].to_numpy(float)
    time, value = known_sharpness(step, frame["sharpness"])
    if len(time):
        sharpness = np.interp(step, time, value, left=np.nan, right=np.nan)
    else:
        sharpness = np.full(len(step), np.nan)
    shown = np.isfinite(sharpness) & np.isfinite(change)
    if not shown.any():
        raise ValueError("no step with a change of loss and a sharpness")
    width, height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((LEFT / width, BOTTOM / height, WIDTH / width, HEIGHT / height))
    style.plain_axes(axis)
    axis.axhline(0, color="0.6", linewidth=0.6)
    points = axis.scatter(
        sharpness[shown], change[shown], s=5, linewidth=0, rasterized=True,
        c=(step % period / period if period else step)[shown],
        cmap=_colours(),
        vmin=0 if period else None, vmax=1 if period else None,
    )  # fmt: skip
    label = f"2/lr = {labels.number(2 / lr)}"
    axis.axvline(2 / lr, color=style.INK, linewidth=1, linestyle="--", label=label)
    axis.legend(
        loc="upper left",
        fontsize=style.TICK,
        labelcolor=style.INK,
        edgecolor="none",
        framealpha=0.8,
    )
    axis.set_xlabel("largest Hessian eigenvalue of F(t)", fontsize=style.LABEL, color=style.INK)
    axis.set_ylabel("change of loss $F(t) - F(t-1)$", fontsize=style.LABEL, color=style.INK)
    place = ((LEFT + WIDTH + 0.15) / width, BOTTOM / height, BAR / width, HEIGHT / height)
    bar = figure.colorbar(points, cax=figure.add_axes(place))
    bar.set_label(
        "time within the cycle (part of T)" if period else "time t (steps)",
        fontsize=style.LABEL, color=style.INK,
    )  # fmt: skip
    bar.outline.set_linewidth(0.6)
    bar.ax.tick_params(labelsize=style.TICK, color=style.INK, labelcolor=style.INK)
    style.title(figure, LEFT, "Bouncing and curvature", title)
    return figure


def _colours() -> ListedColormap:
    """Start and end of a cycle look different; without the yellow that vanishes on white."""
    return ListedColormap(colormaps["plasma"](np.linspace(0, 0.86, 256)))
