"""Bouncing against curvature: the change of the loss over the largest Hessian eigenvalue."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from dynsweep.config import labels
from dynsweep.curvature.threshold import known_sharpness
from dynsweep.figures import style


@style.styled
def bifurcation(
    run: pd.DataFrame,
    lr: float,
    *,
    period: float | None = None,
    span: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a point per recorded step: one branch below 2 / lr, two where the loss bounces.

    Args:
        run: a row per recorded step with ``step``, ``loss_change`` and ``sharpness``; between
            the steps where the sharpness is known it is interpolated, elsewhere there is no point.
        lr: learning rate; 2 / lr is marked.
        period: T in steps; the colour is the time since the start of the cycle as a part of T,
            or without it the time t.
        span: first and last step shown; all of them if left out.
        ax: where to draw; axes of a new figure by default. The colour bar takes some of its room.

    Raises:
        ValueError: no step has a change of loss and a sharpness.
    """
    ax = ax if ax is not None else Figure().subplots()
    run = run.sort_values("step")
    if span:
        run = run[run["step"].between(*span)]
    step, change = run["step"].to_numpy(float), run["loss_change"].to_numpy(float)
    time, value = known_sharpness(step, run["sharpness"])
    sharpness = np.full(len(step), np.nan)
    if len(time):
        sharpness = np.interp(step, time, value, left=np.nan, right=np.nan)
    shown = np.isfinite(sharpness) & np.isfinite(change)
    if not shown.any():
        raise ValueError("no step with a change of loss and a sharpness")
    ax.axhline(0, color="0.6", linewidth=0.6)
    # Start and end of a cycle look different; without the yellow that vanishes on white.
    cmap = ListedColormap(colormaps["plasma"](np.linspace(0, 0.86, 256)))
    points = ax.scatter(
        sharpness[shown], change[shown], s=5, linewidth=0, rasterized=True, cmap=cmap,
        c=(step % period / period if period else step)[shown],
        vmin=0 if period else None, vmax=1 if period else None,
    )  # fmt: skip
    label = f"2/lr = {labels.number(2 / lr)}"
    ax.axvline(2 / lr, color=style.INK, linewidth=1, linestyle="--", label=label)
    ax.legend(loc="upper left")
    ax.set_xlabel("largest Hessian eigenvalue of F(t)")
    ax.set_ylabel("change of loss $F(t) - F(t-1)$")
    figure: Any = ax.figure
    time_label = "time within the cycle (part of T)" if period else "time t (steps)"
    figure.colorbar(points, ax=ax, aspect=25, label=time_label)
    return ax
