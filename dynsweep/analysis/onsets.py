"""Where the runs of a sweep start to bounce, out of what was recorded along them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dynsweep.curvature.threshold import crossing, fit_power, onset

Span = tuple[float, float]
NEEDED = {"loss_change", "sharpness"}


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
    """How the sharpness at the onset goes with learning rate and width, a line for each."""
    lines = []
    for name, words, other, theory in (
        ("lr", "learning rate", "width", -1),
        ("width", "width", "lr", 0),
    ):
        if bouncing[name].nunique() > 1:
            # At equal values of the other setting: its mean is taken out.
            logs = bouncing[[name, "sharpness"]].apply(np.log)
            within = (logs - logs.groupby(bouncing[other]).transform("mean")).apply(np.exp)
            law = fit_power(within[name], within["sharpness"])
            lines.append(
                f"Sharpness at the onset goes as {words} to the power {law.exponent:.3f} "
                f"± {law.error:.3f} (standard error; claimed: {theory})."
            )
    return lines
