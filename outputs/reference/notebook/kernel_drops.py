"""The kernel's largest eigenvalue over each time of bouncing: sharpness above 2 / lr."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

LEARNING_RATE = 1.0


def main(directory: Path) -> None:
    frame = pd.read_csv(directory / "trajectory.csv.gz").dropna(subset=["ntk", "sharpness"])
    frame = frame.sort_values("step").reset_index(drop=True)
    above = frame["sharpness"] > 2 / LEARNING_RATE
    # Bouncing has a period of two steps, so that every other record may lie below.
    bouncing = (above | above.shift(1, fill_value=False)).astype(int).to_numpy()
    edges = np.diff(bouncing, prepend=0, append=0)
    rows = []
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        first, last = frame.iloc[start], frame.iloc[min(end, len(frame) - 1)]
        rows.append((int(first["step"]), int(last["step"]), first["ntk"], last["ntk"]))
    table = pd.DataFrame(rows, columns=["from_step", "to_step", "ntk_before", "ntk_after"])
    table["ratio"] = table["ntk_after"] / table["ntk_before"]
    table.round(3).to_csv(directory / "kernel_drops.csv", index=False)
    print(table.round(3).to_string(index=False))
    calm = frame["ntk"].diff()[(bouncing == 0) & ~above.to_numpy()]
    print(f"elsewhere it rises in {(calm > 0).sum() / calm.notna().sum():.0%} of the intervals")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
