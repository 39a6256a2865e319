"""Two or more sweeps beside each other: their cells of equal settings, and what differs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dynsweep.analysis.columns import QUANTITIES, varying
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.statistics import with_gains
from dynsweep.page.payload import _axis, _places, _plain, _rounded


def labels_of(directories: Sequence[str | Path]) -> list[str]:
    """The shortest tails of the directories' paths that tell them apart; all of equal length."""
    parts = [Path(directory).resolve().parts for directory in directories]
    for length in range(1, max(map(len, parts)) + 1):
        tails = ["/".join(part[-length:]) for part in parts]
        if len(set(tails)) == len(set(parts)):
            break
    return tails


def comparison(
    directories: Sequence[str | Path], axes: Sequence[str | None]
) -> dict[str, Any] | None:
    """Statistics over seeds of each cell in each sweep; None for a single sweep.

    The sweeps are read one by one: a run that two of them hold counts in both. A setting that
    each sweep has at one value tells them apart; cells are equal by all the others.

    Returns:
        ``sweeps`` (label, and words of what tells it apart), ``axes`` as in the page's payload
        over all sweeps, ``start`` (places of the first two) and columns of one row per sweep and
        cell: ``sweep``, ``at`` (for each axis), and ``of`` each quantity mean, standard error and
        number of seeds with a value.
    """
    unique = list(dict.fromkeys(Path(directory).resolve() for directory in directories))
    if len(unique) < 2:
        return None
    parts = [with_gains(load_runs([directory])) for directory in unique]
    runs = pd.concat([part.assign(sweep=at) for at, part in enumerate(parts)], ignore_index=True)
    names = [name for name in varying(runs) if name != "seed"]
    spread = runs.groupby("sweep")[names].nunique(dropna=False)
    apart = [name for name in names if (spread[name] == 1).all()]
    by = [name for name in names if name not in apart]
    described = [_axis(name, runs) for name in by]
    groups = runs.groupby(["sweep", *by], dropna=False, sort=True)
    table = groups.size().rename("seeds").reset_index()
    columns = {**QUANTITIES, "seconds": "seconds"}
    differing = {name: _axis(name, runs) for name in apart}
    sweeps = []
    for part, label in zip(parts, labels_of(unique), strict=True):
        words = []
        for name, axis in differing.items():
            value = _plain(part[name].iloc[0]) if name in part else None
            if value is not None:  # else another dataset or model has this setting
                words.append(f"{axis['label']} {axis['words'][axis['values'].index(value)]}")
        sweeps.append({"label": label, "apart": ", ".join(words), "runs": len(part)})
    return {
        "sweeps": sweeps,
        "axes": described,
        "start": [by.index(name) for name in axes if name in by],
        "sweep": table["sweep"].tolist(),
        "at": [_places(table[axis["name"]], axis["values"]) for axis in described],
        "of": {
            name: {
                "mean": _rounded(groups[column].mean()),
                "error": _rounded(groups[column].sem()),
                "count": groups[column].count().tolist(),
            }
            for name, column in columns.items()
        },
    }
