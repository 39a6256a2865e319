"""Marks on cells and points whose runs failed or diverged, or whose gain may be chance."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dynsweep.figures import style
from dynsweep.figures.captions import GAIN, column
from dynsweep.store import DIVERGED, FAILED

SIGNIFICANT = 0.05
MISSING, INSIGNIFICANT = "missing", "not significant"
HATCHED: dict[str, Any] = {
    "facecolor": style.MISSING, "edgecolor": style.HATCH, "hatch": "////", "linewidth": 0
}  # fmt: skip
# Keywords of plot(), legend included.
MARKS: dict[str, dict[str, Any]] = {
    FAILED: {
        "marker": "^", "markersize": 6, "markeredgewidth": 0.7, "markerfacecolor": "white",
        "markeredgecolor": style.INK, "linestyle": "none", "label": "a run failed",
    },
    DIVERGED: {
        "marker": "X", "markersize": 6, "markeredgewidth": 0.7, "markerfacecolor": "white",
        "markeredgecolor": style.INK, "linestyle": "none", "label": "a run diverged",
    },
    INSIGNIFICANT: {
        "marker": "o", "markersize": 4, "markeredgewidth": 0.3, "markerfacecolor": style.INK,
        "markeredgecolor": "white", "linestyle": "none",
        "label": "not significant at 5 % (paired t-test, Benjamini-Hochberg)",
    },
}  # fmt: skip


def marked(cells: pd.DataFrame, metric: str) -> dict[str, pd.Series]:
    """For each mark that some cells have, which of them."""
    flags = {name: cells[name] > 0 for name in (FAILED, DIVERGED)}
    if metric.startswith(GAIN):
        flags[INSIGNIFICANT] = cells[f"{column(metric)}_p_corrected"] > SIGNIFICANT
    return {name: cells_marked for name, cells_marked in flags.items() if cells_marked.any()}


def handles(names: Collection[str]) -> list[Artist]:
    """Legend entries of marks; ``MISSING`` for hatched cells."""
    missing = [Patch(**HATCHED, label="no result")] if MISSING in names else []
    return [*missing, *(Line2D([], [], **MARKS[name]) for name in MARKS if name in names)]
