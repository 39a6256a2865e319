"""Floor and width of the valley along the cycle, and by how much they change within one.

python cycle.py DIR    # with the valleys.csv of dynsweep-trajectory
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

NAMES = ["valley_floor", "valley_width", "valley_curvature", "valley_width_random"]


def main(directory: Path) -> None:
    table = pd.read_csv(directory / "valleys.csv").dropna(subset=["cycle"])
    table["phase"] = table["phase"].round(4)
    means = table.groupby(["run_width", "phase", "seed"])[NAMES].mean()
    over_seeds = means.groupby(["run_width", "phase"]).agg(["mean", "sem"])
    over_seeds.columns = [f"{name}_{what}" for name, what in over_seeds.columns]
    over_seeds.round(4).to_csv(directory / "cycle.csv")
    print(over_seeds.iloc[::6].round(3).to_string())
    cycles = table.groupby(["run_width", "seed", "cycle"])[NAMES[:2]]
    factors = (cycles.max() / cycles.min()).groupby(["run_width", "seed"]).median()
    print("largest over smallest within a cycle, median over cycles:")
    print(factors.groupby("run_width").agg(["mean", "sem"]).round(3).to_string())
    ranks = cycles.rank()
    keys = [table[name] for name in ("run_width", "seed", "cycle")]
    found = ranks.groupby(keys).corr().xs(NAMES[0], level=-1)[NAMES[1]]
    print(f"cycles with a negative rank correlation: {(found < 0).sum()} of {len(found)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
