"""Records of one or several sweep directories as a tidy table, one row per run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dynsweep.config import SCIENCE
from dynsweep.store.records import FAILED, METRICS, read

# Short names of the settings that people plot, first in results.csv and in this order.
SHORT = {
    "dataset.name": "dataset",
    "model.name": "model",
    "model.width": "width",
    "optimizer.lr": "lr",
    "loss.period": "period",
    "loss.amplitude": "amplitude",
    "seed": "seed",
}
OUTCOME = ("status", *METRICS, "seconds")


def load_frame(directories: Sequence[str | Path]) -> pd.DataFrame:
    """Every run once: its settings, how it ended, and where its weights are.

    A run recorded several times counts once: a finished record before a failed one, then the
    latest. Settings that decide the result are columns: those in ``SHORT`` by their short
    names, the others by their dotted ones. Further columns: ``status``, the four metrics,
    ``seconds``, ``error``, ``engine``, ``device``, ``hardware``, ``software``, ``number``,
    ``id``, ``overrides``, ``weights`` (file name or None) and ``directory``.
    """
    columns: dict[str, list[object]] = {}
    rows = 0
    for directory in directories:
        for entry in read(directory):
            config = entry.pop("config")
            entry["overrides"] = " ".join(entry["overrides"])
            entry["directory"] = str(directory)
            for key, value in config.items():
                if key.partition(".")[0] in SCIENCE:
                    entry[SHORT.get(key, key)] = str(value) if isinstance(value, list) else value
            for key, value in entry.items():
                column = columns.setdefault(key, [])
                column.extend([None] * (rows - len(column)))
                column.append(value)
            rows += 1
    for column in columns.values():
        column.extend([None] * (rows - len(column)))
    frame = pd.DataFrame(columns)
    if frame.empty:
        return pd.DataFrame(columns=[*SHORT.values(), *OUTCOME])
    for metric in METRICS:
        frame[metric] = pd.to_numeric(frame.get(metric, float("nan")))
    keep = frame.assign(_finished=frame["status"] != FAILED).sort_values(
        "_finished", kind="stable"
    )
    keep = keep.drop_duplicates("id", keep="last").drop(columns="_finished").sort_index()
    first = [*SHORT.values(), *OUTCOME]
    rest = [name for name in keep.columns if name not in first]
    return keep[[name for name in first if name in keep.columns] + rest].reset_index(drop=True)
