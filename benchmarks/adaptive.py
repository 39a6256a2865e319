"""What an adaptive sweep saves: the same diagram by a full grid and by ``hydra/sweeper=adaptive``.

    python benchmarks/adaptive.py seeds --into outputs/adaptive           # precision
    python benchmarks/adaptive.py cells --into outputs/adaptive --refine 1  # resolution

Both go on in their directories where they were stopped. The whole takes hours on two cores:
``seeds`` trains 17,900 and some 6,000 runs, ``cells --refine 2`` 17,800 and some 4,000.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.grid import spread_static
from dynsweep.analysis.statistics import cells
from dynsweep.launchers.lattice import halved

PERIODS = [10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 453, 640, 905, 1280, 1810, 2560, 3620, 5120, 7240]  # fmt: skip # noqa: E501
AMPLITUDES = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 32, 40, 50, 64, 80, 100]
PLACE, METRIC, OTHER = ["period", "amplitude"], "train_accuracy", "validation_accuracy"


def dynsweep(directory: Path, *words: str) -> pd.DataFrame:
    """Sweep into a directory, and return its cells, the static loss at every period."""
    command = [sys.executable, "-m", "dynsweep", "+sweep=period_amplitude", *words]
    quiet = ["objective=train_accuracy", "save_weights=false", "report=false"]
    subprocess.run([*command, *quiet, f"hydra.sweep.dir={directory}"], check=True)
    return table(directory)


def table(directory: Path) -> pd.DataFrame:
    """The cells of a sweep, with the number of runs ``trained`` for them."""
    runs = load_runs([directory])
    found = cells(runs)
    # A grid records the static loss at every period, and trains it once.
    static = runs["amplitude"] == 1
    found.attrs["trained"] = int((~static).sum() + runs.loc[static, "seed"].nunique())
    return found


def compare_seeds(full: pd.DataFrame, adaptive: pd.DataFrame) -> str:
    """Standard errors of both. The deviation of each cell is that over the seeds of the grid: the
    adaptive sweep's own would be small where it stopped because it was."""
    both = full[[*PLACE, f"{METRIC}_std", f"{METRIC}_mean"]].merge(
        spread_static(adaptive, [])[[*PLACE, "seeds", f"{METRIC}_mean", f"{METRIC}_error"]],
        on=PLACE, suffixes=("_full", ""),
    )  # fmt: skip
    deviation, seeds = both[f"{METRIC}_std"], float(full["seeds"].median())
    error = deviation / np.sqrt(both["seeds"])
    largest, uniform = np.percentile(error, 95), np.percentile(deviation, 95)
    equal = (uniform / largest) ** 2  # seeds of a grid with the same largest error
    runs, trained = equal * full.attrs["trained"] / seeds, adaptive.attrs["trained"]
    apart = (both[f"{METRIC}_mean_full"] - both[f"{METRIC}_mean"]).abs()
    known = np.sqrt(both[f"{METRIC}_error"] ** 2 + deviation**2 / seeds)
    own = np.percentile(adaptive[f"{METRIC}_error"], 95)
    return (
        f"grid: {seeds:.0f} seeds, {full.attrs['trained']:,} runs, 95th percentile of the "
        f"standard error {uniform / math.sqrt(seeds):.4f}\n"
        f"adaptive: {trained:,} runs, {trained / len(full):.1f} a cell, {largest:.4f} "
        f"(by its own account {own:.4f}; mean {error.mean():.4f})\n"
        f"a grid with that largest error: {equal:.1f} seeds, {runs:,.0f} runs, "
        f"{runs / trained:.2f} times as many\n"
        f"means apart by less than two errors: {(apart <= 2 * known).mean():.1%}"
    )


def compare_cells(full: pd.DataFrame, adaptive: pd.DataFrame) -> str:
    """How far the diagrams are apart, at every cell of the fine grid."""
    spread = spread_static(adaptive, [])

    def places(of: pd.DataFrame) -> np.ndarray:
        spans = [np.ptp(np.log(full[name])) for name in PLACE]
        return np.stack([np.log(of[n]) / s for n, s in zip(PLACE, spans, strict=True)], axis=1)

    _, nearest = cKDTree(places(spread)).query(places(full))
    shown = spread[f"{METRIC}_mean"].to_numpy()[nearest]
    apart = np.abs(shown - full[f"{METRIC}_mean"]).mean()
    trained, runs = adaptive.attrs["trained"], full.attrs["trained"]
    return (
        f"full grid: {len(full):,} cells, {runs:,} runs, mean standard error "
        f"{full[f'{METRIC}_se'].mean():.4f}\n"
        f"adaptive: {len(adaptive):,} cells, {trained:,} runs, {runs / trained:.2f} times fewer; "
        f"mean absolute difference {apart:.4f}"
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("what", choices=("seeds", "cells"))
    parser.add_argument("--into", type=Path, required=True, help="where sweeps are, or will be")
    parser.add_argument("--seeds", type=int, default=47, help="of the full grid")
    parser.add_argument("--error", type=float, default=0.03, help="wanted by the adaptive sweep")
    parser.add_argument("--refine", type=int, default=2, help="how often spacing is halved")
    parser.add_argument("--keep", type=Path, help="a .csv.gz for the cells of the full grid")
    parser.add_argument("--compare", action="store_true", help="train nothing")
    options = parser.parse_args()
    name = options.what if options.what == "seeds" else f"cells{options.refine}"
    grid, adaptive = options.into / f"{name}_grid", options.into / f"{name}_adaptive"
    if options.what == "seeds":
        words = [f"hydra.sweeper.error={options.error}", "hydra.sweeper.max_seeds=100"]
        axes = [f"seed=range(0,{options.seeds})"]
    else:
        words = ["hydra.sweeper.error=null", f"hydra.sweeper.refine={options.refine}"]
        periods = halved(PERIODS, options.refine, whole=True)
        amplitudes = halved(AMPLITUDES, options.refine, whole=False)
        axes = [f"loss.period={','.join(map(str, periods))}", "seed=range(0,3)"]
        axes.append(f"loss.amplitude={','.join(map(str, amplitudes))}")
    if not options.compare:
        dynsweep(adaptive, "hydra/sweeper=adaptive", *words)
        dynsweep(grid, *axes)
    compare = compare_seeds if options.what == "seeds" else compare_cells
    full = table(grid)
    print(compare(full, table(adaptive)))
    if options.keep:
        kinds = [f"{one}_{what}" for one in (METRIC, OTHER) for what in ("mean", "std")]
        full[[*PLACE, "seeds", *kinds]].round(4).to_csv(options.keep, index=False)


if __name__ == "__main__":
    main()
