"""Words of a figure: its title, what all its cells share, and the label of the colour bar."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dynsweep.analysis import grid
from dynsweep.analysis.columns import setting_columns
from dynsweep.config import labels

GAIN = "gain_"  # starts the name of an accuracy's gain over the static loss


def column(metric: str) -> str:
    """The column of the table of cells that holds a metric's mean or gain."""
    return f"{metric.removeprefix(GAIN)}_gain" if metric.startswith(GAIN) else f"{metric}_mean"


def error_column(metric: str) -> str:
    """The column with its standard error."""
    return f"{column(metric).removesuffix('_mean')}_se"


def obstacle(cells: pd.DataFrame, metric: str) -> str:
    """Why these cells have no diagram of a metric; empty if they have."""
    if cells[column(metric)].notna().any():
        return ""
    return "no static run (amplitude 1)" if metric.startswith(GAIN) else "no run has a value"


def metric_label(metric: str) -> str:
    """A metric's name on an axis or a colour bar."""
    word = labels.METRICS[metric.removeprefix(GAIN)]
    return f"gain in {word}" if metric.startswith(GAIN) else word


def headline(metric: str) -> str:
    """A metric's name as the title of a diagram."""
    over = " over the static loss" if metric.startswith(GAIN) else ""
    return metric_label(metric).capitalize() + over


def facts(cells: pd.DataFrame, metric: str, note: str = "") -> str:
    """What is the same in all cells, and on a line of its own what a reader has to know."""
    if metric.startswith(GAIN) and cells[f"{column(metric)}_pairs"].max() < 2:
        note = f"No significance with one seed. {note}"
    text = ", ".join([*shared(cells), labels.seeds_text(cells["seeds"])])
    return f"{text}\n{note}".strip()


def shared(cells: pd.DataFrame, without: Sequence[str] = ()) -> list[str]:
    """What all cells have in common, in words; not the settings ``without``."""
    constant = set(setting_columns(cells)) - set(grid.swept(cells)) - set(without)
    fixed = [str(cells[name].iloc[0]) for name in ("dataset", "model") if name in constant]
    names = [n for n in ("width", "model.init", "lr", "period", "amplitude") if n in constant]
    # The period of a static cell means nothing: tell that of the others.
    dynamical = cells[cells["amplitude"] != 1]
    for name in names:
        rows = dynamical if name == "period" else cells
        fixed += [labels.assignment(name, value, " ") for value in rows[name].head(1)]
    epochs = cells.get("epochs")
    if epochs is not None and epochs.notna().all():
        if "epochs" in constant:
            fixed.append(f"{int(epochs.iloc[0]):,} epochs")
    elif "steps" in constant:
        fixed.append(f"{int(cells['steps'].iloc[0]):,} steps")
    return fixed
