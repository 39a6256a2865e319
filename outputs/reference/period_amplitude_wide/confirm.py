"""Gain in validation accuracy over the static loss, in each draw of the data and pooled."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from scipy.stats import false_discovery_control, ttest_1samp

import dynsweep


def main(directory: Path) -> None:
    runs = dynsweep.load(directory)
    pair = ["dataset.seed", "seed"]
    # The static loss has no period: its runs at several are the same run.
    static = runs[runs["amplitude"] == 1].groupby(pair)["validation_accuracy"].mean()
    rows = []
    for (period, amplitude), cell in runs[runs["amplitude"] > 1].groupby(["period", "amplitude"]):
        gain = cell.set_index(pair)["validation_accuracy"] - static
        draws = gain.groupby("dataset.seed").agg(["mean", "sem"])
        told = {f"draw_{draw}": f"{m:+.4f} ± {e:.4f}" for draw, (m, e) in draws.T.items()}
        pooled = {"gain": gain.mean(), "se": gain.sem(), "p": ttest_1samp(gain, 0).pvalue}
        place = {"period": period, "amplitude": amplitude}
        rows.append({**place, **told, "pairs": len(gain), **pooled})
    table = pd.DataFrame(rows)
    table["p_corrected"] = false_discovery_control(table["p"])
    table = table.round({"gain": 4, "se": 4, "p": 5, "p_corrected": 5})
    table.to_csv(directory / "confirm.csv", index=False)
    print(table.to_string(index=False))
    print(f"static loss: {static.mean():.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
