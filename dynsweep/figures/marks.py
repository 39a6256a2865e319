"""Marks on cells and points whose runs failed or diverged, or whose gain may be chance."""

from typing import Any

import pandas as pd

from dynsweep.analysis.columns import QUANTITIES
from dynsweep.figures import style
from dynsweep.figures.captions import GAIN
from dynsweep.store import DIVERGED, FAILED

SIGNIFICANT = 0.05
INSIGNIFICANT = "not significant"
HATCHED: dict[str, Any] = {
    "facecolor": style.MISSING, "edgecolor": style.HATCH, "hatch": "////", "linewidth": 0
}  # fmt: skip


def _look(marker: str, label: str, size: float = 6, edge: float = 0.7) -> dict[str, Any]:
    return {
        "marker": marker, "label": label, "linestyle": "none", "markersize": size,
        "markeredgewidth": edge, "markerfacecolor": "white", "markeredgecolor": style.INK,
    }  # fmt: skip


# Keywords of plot().
MARKS = {
    FAILED: _look("^", "a run failed"),
    DIVERGED: _look("X", "a run diverged"),
    INSIGNIFICANT: _look("o", "not significant at 5 % (paired t-test, Benjamini-Hochberg)", 4, 0.3)
    | {"markerfacecolor": style.INK, "markeredgecolor": "white"},
}


def marked(cells: pd.DataFrame, metric: str) -> dict[str, pd.Series]:
    """For each mark that some cells have, which of them."""
    flags = {name: cells[name] > 0 for name in (FAILED, DIVERGED)}
    if metric.startswith(GAIN):
        flags[INSIGNIFICANT] = cells[f"{QUANTITIES[metric]}_p_corrected"] > SIGNIFICANT
    return {name: which for name, which in flags.items() if which.any()}
