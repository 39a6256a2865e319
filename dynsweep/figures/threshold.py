"""Curvature at which gradient descent starts to bounce, over learning rate and width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsweep.config import labels
from dynsweep.curvature.threshold import fit_power
from dynsweep.figures import style
from dynsweep.figures.layout import round_ticks

LEFT, RIGHT, LEGEND, BETWEEN, TOP, BOTTOM = 1.0, 0.3, 1.1, 0.3, 0.68, 0.55  # inches
WIDTH, HEIGHT = 3.95, 3.6
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def draw_threshold(runs: pd.DataFrame, path_stem: Path | str, title: str) -> list[Path]:
    """Write :func:`threshold` as PNG and PDF; returns the two paths."""
    return style.save_all(threshold(runs, title), path_stem)


def threshold(runs: pd.DataFrame, title: str) -> Figure:
    """Draw the onsets of many runs, on logarithmic axes.

    On the left against the learning rate, with a power law through all points and 2 / lr; on the
    right, if there are several widths, against the width.

    Args:
        runs: a row per onset: ``lr``, ``sharpness`` (that of
            :func:`dynsweep.curvature.threshold.onset`) and perhaps ``width``; rows without a
            positive, finite sharpness (runs that never bounced) are left out.
        title: what the runs have in common.
    """
    found = runs[np.isfinite(runs["sharpness"]) & (runs["sharpness"] > 0)]
    if found.empty:
        raise ValueError("no run with an onset")
    panels = 1 + ("width" in found and found["width"].nunique() > 1)
    right = RIGHT if panels == 1 else LEGEND
    width = LEFT + panels * WIDTH + (panels - 1) * BETWEEN + right
    height = TOP + HEIGHT + BOTTOM
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        LEFT / width, BOTTOM / height, 1 - right / width, 1 - TOP / height, BETWEEN / WIDTH
    )
    _points(axes[0], found, "lr", "width" if panels == 2 else None)
    _law(axes[0], found)
    if panels == 2:
        _points(axes[1], found, "width", "lr")
        for lr, colour, _ in _looks(found["lr"]):
            axes[1].axhline(2 / lr, color=colour, linewidth=1, linestyle="--")
        axes[1].plot([], [], color=style.INK, linewidth=1, linestyle="--", label="2/lr")
    look: dict[str, Any] = {
        "fontsize": style.SMALL, "labelcolor": style.INK, "edgecolor": "none", "handlelength": 1.6
    }  # fmt: skip
    axes[0].legend(loc="upper right", framealpha=0.8, **look)
    if panels == 2:
        # Lines of 2 / lr cross the whole panel.
        axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1.02), framealpha=0, **look)
    low, high = axes[0].get_ylim()
    round_ticks(axes[0].yaxis, low, high)
    axes[0].set_ylim(low, high)
    label = "largest Hessian eigenvalue\nwhere bouncing starts"
    axes[0].set_ylabel(label, fontsize=style.LABEL, color=style.INK)
    style.title(figure, LEFT, "Threshold of bouncing", title)
    return figure


def _points(axis: Axes, found: pd.DataFrame, x: str, by: str | None) -> None:
    """Onsets over ``x``, a mark for every value of ``by``."""
    style.plain_axes(axis)
    axis.set_xscale("log")
    axis.set_yscale("log")
    looks = _looks(found[by]) if by else [(None, style.CLASSES[0], MARKERS[0])]
    for value, colour, marker in looks:
        part = found if by is None else found[found[by] == value]
        axis.plot(
            part[x], part["sharpness"], linestyle="none", marker=marker, markersize=4.5,
            color=colour, markeredgecolor="white", markeredgewidth=0.4,
            label="runs" if by is None else labels.assignment(by, value),
        )  # fmt: skip
    low, high = float(found[x].min()) / 1.3, float(found[x].max()) * 1.3
    axis.set_xlim(low, high)
    round_ticks(axis.xaxis, low, high)
    axis.set_xlabel(labels.axis_label(x), fontsize=style.LABEL, color=style.INK)


def _looks(values: pd.Series) -> list[tuple[float, str, str]]:
    """Every value with a colour and a marker."""
    # Learning rates and widths look different.
    start = 3 if values.name == "lr" else 0
    ordered = enumerate(sorted(values.unique()), start)
    return [(v, style.CLASSES[i % 8], MARKERS[i % 8]) for i, v in ordered]


def _law(axis: Axes, found: pd.DataFrame) -> None:
    """2 / lr, and the power law of the points if there are several learning rates."""
    lr = np.array(axis.get_xlim())
    axis.plot(lr, 2 / lr, color=style.INK, linewidth=1, linestyle="--", label="2/lr")
    law = fit_power(found["lr"], found["sharpness"])
    if np.isfinite(law.exponent):
        exponent = f"{law.exponent:.3f}".replace("-", "−")  # noqa: RUF001
        error = f" ± {law.error:.2g}" if np.isfinite(law.error) else ""
        axis.plot(
            lr, law.factor * lr**law.exponent, color="0.55", linewidth=1.6, zorder=1.5,
            label=f"fit: {law.factor:.3g} lr$^k$, k = {exponent}{error}",
        )  # fmt: skip
