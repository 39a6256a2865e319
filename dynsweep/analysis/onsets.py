"""Where the runs of a sweep start to bounce, out of what was recorded along them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dynsweep.curvature.threshold import crossing, fit_power, onset

Span = tuple[float, float]
NEEDED = {"loss_change", "sharpness"}
THEORY = {"lr": ("learning rate", -1), "width": ("width", 0)}  # powers that are claimed


def interesting(trajectory: pd.DataFrame, lr: float, period: float) -> Span | None:
    """First and last step of a close look: about the first instability, two fifths of a period or
    enough to hold 40 records; the first cycle if there is no instability; None if that is all.

    ``trajectory`` has a row for each recorded step of one run; the period is in steps.
    """
    at = float("nan")
    if set(trajectory.columns) >= NEEDED:
        at = onset(trajectory["step"], trajectory["loss_change"], trajectory["sharpness"]).step
    if np.isnan(at) and "sharpness" in trajectory:
        at = crossing(trajectory["step"], trajectory["sharpness"], lr)
    last = float(trajectory["step"].max())
    if np.isnan(at):
        return (0.0, period) if period < last else None
    spacing = float(trajectory["step"][trajectory["sharpness"].notna()].diff().median())
    width = max(0.4 * period, 40 * spacing)
    return max(0.0, at - 0.25 * width), min(last, at + 0.75 * width)


def onsets(runs: pd.DataFrame, trajectories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per run whose loss was recorded at most steps: settings, and where it starts to
    bounce (see :func:`dynsweep.curvature.threshold.onset`). Trajectories are by ``id``."""
    rows = []
    for _, run in runs.iterrows():
        steps = trajectories[run["id"]]
        if not set(steps.columns) >= NEEDED:
            continue
        if (np.diff(steps["step"][steps["loss_change"].notna()]) == 1).mean() < 0.5:
            continue
        start = onset(steps["step"], steps["loss_change"], steps["sharpness"], loss=steps["loss"])
        settings = {name: run[name] for name in ("lr", "width", "period", "amplitude", "seed")}
        top = float(steps["sharpness"].max())
        rows.append({**settings, **start._asdict(), "largest_sharpness": top, "id": run["id"]})
    return pd.DataFrame(rows)


def exponents(bouncing: pd.DataFrame) -> list[str]:
    """How the sharpness at the onset goes with learning rate and width, a line for each.

    The seed is the unit: fitted within each, mean and standard error over them. Where one seed
    alone allows a fit, that of all runs.
    """
    swept = [name for name in THEORY if bouncing[name].nunique() > 1]
    if not swept:
        return []
    fits = [fit for _, runs in bouncing.groupby("seed") if (fit := _powers(runs, swept))]
    if len(fits) > 1:
        from scipy.stats import sem

        of_seeds = {name: np.array([fit[name] for fit in fits]) for name in swept}
        means = {name: float(values.mean()) for name, values in of_seeds.items()}
        errors = {name: float(sem(values)) for name, values in of_seeds.items()}
        unit = f" over {len(fits)} seeds"
    else:
        (means, errors), unit = _of_runs(bouncing, swept), ""
    return [
        f"Sharpness at the onset goes as {words} to the power {means[name]:.3f} ± "
        f"{errors[name]:.3f} (standard error{unit}; claimed: {theory})."
        for name, (words, theory) in THEORY.items()
        if name in swept
    ]


def _powers(runs: pd.DataFrame, swept: list[str]) -> dict[str, float]:
    """Least squares of log sharpness on the logs of all settings at once, so that a missing run
    does not pass one's effect to the other; empty where the runs do not determine them."""
    logs = np.log(runs[swept].to_numpy(float))
    design = np.column_stack([np.ones(len(runs)), logs])
    if np.linalg.matrix_rank(design) <= len(swept):
        return {}
    found = np.linalg.lstsq(design, np.log(runs["sharpness"].to_numpy(float)), rcond=None)[0]
    return dict(zip(swept, found[1:].tolist(), strict=True))


def _of_runs(runs: pd.DataFrame, swept: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Powers and their errors if runs were independent, each at equal values of the other."""
    means, errors = {}, {}
    for name, other in (("lr", "width"), ("width", "lr")):
        if name in swept:
            logs = runs[[name, "sharpness"]].apply(np.log)
            within = (logs - logs.groupby(runs[other]).transform("mean")).apply(np.exp)
            law = fit_power(within[name], within["sharpness"])
            means[name], errors[name] = law.exponent, law.error
    return means, errors
