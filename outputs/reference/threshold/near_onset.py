"""The sharpness where the runs of a sweep start to bounce, measured at three steps of each.

The sweep has the loss of every step, from which the onset is known. Each run is trained again,
to the end of the window by which its onset is defined, with the sharpness one step before, at
and one step after the onset. So wide networks cost three spectra a run, not one a step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import dynsweep
from dynsweep.curvature.threshold import WINDOW, onset


def main(directory: Path) -> None:
    runs = dynsweep.load(directory)
    for _, run in runs.iterrows():
        steps = dynsweep.load_trajectory(run)
        nowhere = np.full(len(steps), np.nan)
        at = onset(steps["step"], steps["loss_change"], nowhere, loss=steps["loss"]).step
        # A run without an onset is kept, to be counted.
        at, end = (1, run["steps"]) if np.isnan(at) else (int(at), int(at) + WINDOW + 1)
        dynsweep.sweep(
            "threshold", f"model.width={run['width']}", f"optimizer.lr={run['lr']:g}",
            f"seed={run['seed']}", f"steps={end}", f"observe.sharpness.first={at - 1}",
            f"observe.sharpness.last={at + 1}", "save_weights=false", "report=false",
            directory=directory / "near_onset",
        )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
