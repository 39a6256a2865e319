"""What the searches found: in each problem the tuned static loss and the best dynamical cells.

python outputs/reference/generalisation/search.py DIR

Reads the sweeps DIR/first and DIR/second, and writes search.csv to DIR.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import dynsweep

PROBLEM = ["width", "model.init", "dataset.noise", "dataset.samples_per_class"]
TRAINING = ["lr", "steps", "period", "amplitude", "loss.static_end"]


def best(runs: pd.DataFrame, cells: int = 2) -> pd.DataFrame:
    """A row for each problem and each of its ``cells`` best trainings with the dynamical loss.

    The gain is over the mean accuracy of the static loss at its best learning rate and number of
    steps; its standard error is over draws of the data.
    """
    means = runs.groupby([*PROBLEM, *TRAINING, "dataset.seed"])["validation_accuracy"].mean()
    rows = []
    for problem, trained in means.unstack("dataset.seed").groupby(PROBLEM):
        trained = trained.droplevel(PROBLEM)
        amplitude = trained.index.get_level_values("amplitude")
        static, dynamical = trained[amplitude == 1], trained[amplitude > 1]
        tuned = static.mean(axis=1).idxmax()
        gains = (dynamical - static.loc[tuned]).assign(mean=lambda gain: gain.mean(axis=1))
        gains = gains.sort_values("mean", ascending=False).drop(columns="mean")
        places = dict(zip(PROBLEM, problem, strict=True))
        for training, gain in gains.head(cells).iterrows():
            rows.append({
                **places, "static": static.loc[tuned].mean(), "static_lr": tuned[0],
                "static_steps": tuned[1], **dict(zip(TRAINING, training, strict=True)),
                "gain": gain.mean(), "se": gain.sem(), "draws": gain.count(),
                "of_cells": len(gains), "cells_better": int((gains.mean(axis=1) > 0).sum()),
            })  # fmt: skip
    return pd.DataFrame(rows)


def main(directory: Path) -> None:
    tables = []
    for name in ("first", "second"):
        tables.append(best(dynsweep.load(directory / name)).assign(search=name))
        print(f"{name} search", tables[-1].round(4).to_string(index=False), sep="\n")
    table = pd.concat(tables)
    table = table[["search", *(name for name in table if name != "search")]]
    table.round(5).to_csv(directory / "search.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
