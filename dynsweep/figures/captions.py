"""Words of a figure: its title, what all its cells share, and the label of the colour bar."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dynsweep.analysis import grid
from dynsweep.config import labels

GAIN = "_gain"  # ends the name of a metric's gain over the static loss


def headline(cells: pd.DataFrame, metric: str) -> tuple[str, str]:
    """Title, and what is the same in all cells."""
    word = labels.METRICS[metric.removesuffix(GAIN)]
    title = f"Gain in {word} over the static loss" if metric.endswith(GAIN) else word.capitalize()
    return title, ", ".join([*shared(cells), labels.seeds_text(cells["seeds"])])


def shared(cells: pd.DataFrame, without: Sequence[str] = ()) -> list[str]:
    """What all cells have in common, in words; not the settings ``without``."""
    constant = set(grid.settings(cells)) - set(grid.swept(cells)) - set(without)
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


def metric_label(metric: str) -> str:
    """A metric's name on an axis or a colour bar."""
    word = labels.METRICS[metric.removesuffix(GAIN)]
    return f"gain in {word}" if metric.endswith(GAIN) else word


def note(cells: pd.DataFrame, metric: str) -> str:
    """What a reader of a gain has to know when nothing can be significant."""
    if metric.endswith(GAIN) and cells[f"{metric}_pairs"].max() < 2:
        return "No significance with one seed."
    return ""
