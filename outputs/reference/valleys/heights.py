"""Floor and width of the classes' valleys without their weights G(t), and at other heights.

python heights.py DIR

A weight that grows makes a loss higher and narrower by itself: what is left of the correlation
when the emphasised classes' part and the others' are divided by their weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.valleys import correlations, profile
from dynsweep.curvature.landscape import valley
from dynsweep.store import load_trajectories

REACH, RANDOM_REACH = 1.5, 10.0
HEIGHTS = (0.02, 0.05, 0.1)
ENDS = ("", "_emphasised", "_others")


def remeasured(steps: pd.DataFrame, run: pd.Series, height: float, weighted: bool) -> pd.DataFrame:
    """The rows of one run in dynamical cycles, as dynsweep.analysis.valleys has them."""
    steps = steps[steps["profile_emphasised_0"].notna()]
    profiles = {
        end: np.array([profile(row, REACH, end)[1] for _, row in steps.iterrows()]) for end in ENDS
    }
    if not weighted:
        weights = steps[["weight_0", "weight_1", "weight_2"]]
        profiles["_emphasised"] /= weights.max(axis=1).to_numpy()[:, None]
        profiles["_others"] /= weights.min(axis=1).to_numpy()[:, None]
    a = profile(steps.iloc[0], REACH)[0]
    found = valley(a, np.stack(list(profiles.values())), height)
    columns = {
        f"valley_{name}{end}": getattr(found, name)[row]
        for row, end in enumerate(ENDS)
        for name in ("floor", "width", "depth")
    }
    across = np.array([profile(row, RANDOM_REACH, "_random")[1] for _, row in steps.iterrows()])
    random = valley(profile(steps.iloc[0], RANDOM_REACH, "_random")[0], across[None], height)
    columns |= {f"valley_{n}_random": getattr(random, n)[0] for n in ("floor", "width", "depth")}
    settings = {"run_width": run["width"], **run[["lr", "period", "amplitude", "seed", "id"]]}
    return pd.DataFrame(columns).assign(cycle=(steps["step"] // run["period"]).values, **settings)


def main(directory: Path) -> None:
    trajectories = dict(list(load_trajectories(directory).groupby("id")))
    runs = load_runs([directory])
    tables = []
    for weighted, height in [(True, one) for one in HEIGHTS] + [(False, 0.05)]:
        rows = [
            remeasured(trajectories[run["id"]], run, height, weighted)
            for _, run in runs.iterrows()
        ]
        found = correlations(pd.concat(rows, ignore_index=True))
        if not weighted:
            found = found[found["of"].isin(["emphasised classes", "other classes"])]
        tables.append(found.assign(height=height, weights="with G" if weighted else "without G"))
    table = pd.concat(tables).drop(columns=["lr", "period", "amplitude", "cycles"])
    first = ["run_width", "weights", "height", "of"]
    table = table[[*first, *table.columns.difference(first, sort=False)]].round(3)
    table.to_csv(directory / "heights.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
