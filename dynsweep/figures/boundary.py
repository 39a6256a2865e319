"""Where an accuracy passes 0.8, and how well that is known."""

from typing import Any

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.tri import Triangulation

from dynsweep.analysis.columns import mean_column
from dynsweep.analysis.precision import LEARNED
from dynsweep.figures import style
from dynsweep.figures.panel import Panel

BAND: dict[str, Any] = {"facecolor": style.INK, "alpha": 0.35, "linewidth": 0}
LINE: dict[str, Any] = {"colors": "white", "linewidths": 1.4}


def boundary(panel: Panel, metric: str) -> None:
    """Draw the contour of the mean, and as a band where 0.8 is within an error of the mean.

    Between cells both are linear, on the axes as they are drawn.
    """
    cells = panel.cells.dropna(subset=[mean_column(metric), f"{metric}_error"])
    mean = cells[mean_column(metric)].to_numpy(float)
    if len(cells) < 3 or not mean.min() < LEARNED < mean.max():
        return
    x, y = panel.xs.at(cells[panel.x]), panel.ys.at(cells[panel.y])
    parts = panel.xs.parts(x), panel.ys.parts(y)
    if min(len(np.unique(part)) for part in parts) < 2:
        return
    plane = Triangulation(x, y, Triangulation(*parts).triangles)
    deviation = (mean - LEARNED) / np.maximum(cells[f"{metric}_error"].to_numpy(float), 1e-9)
    ax = panel.ax
    colour, alpha = BAND["facecolor"], BAND["alpha"]
    ax.tricontourf(plane, deviation, levels=[-1, 1], colors=[colour], alpha=alpha)
    ax.tricontour(plane, mean, levels=[LEARNED], **LINE)
    label = f"accuracy {LEARNED:g} (white), and where it is within an error of that"
    ax.add_patch(Rectangle((0, 0), 0, 0, transform=ax.transAxes, label=label, **BAND))
