"""Words of a figure: its title, what all its cells share, and the label of the colour bar."""

from collections.abc import Sequence

import pandas as pd

from dynsweep.analysis import grid
from dynsweep.analysis.columns import QUANTITIES, setting_columns
from dynsweep.config import labels

GAIN = "gain_"  # starts the name of an accuracy's gain over the static loss


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
    if metric.startswith(GAIN) and cells[f"{QUANTITIES[metric]}_pairs"].max() < 2:
        note = f"No significance with one seed. {note}"
    text = ", ".join([*shared(cells), labels.seeds_text(cells["seeds"])])
    return f"{text}\n{note}".strip()


def shared(cells: pd.DataFrame, without: Sequence[str] = ()) -> list[str]:
    """What all cells have in common, in words; not the settings ``without``."""
    constant = set(setting_columns(cells)) - set(grid.swept(cells)) - set(without)
    words = [str(cells[name].iloc[0]) for name in ("dataset", "model") if name in constant]
    # The period of a static cell means nothing: tell that of the others.
    dynamical = cells[cells["amplitude"] != 1]
    for name in ("width", "model.init", "lr", "period", "amplitude"):
        if name in constant:
            rows = dynamical if name == "period" else cells
            words += [labels.assignment(name, value, " ") for value in rows[name].head(1)]
    epochs = cells.get("epochs")
    unit = "steps" if epochs is None or epochs.isna().any() else "epochs"
    if unit in constant:
        words.append(f"{int(cells[unit].iloc[0]):,} {unit}")
    return words
