"""Measure the Hessian only where the loss starts to bounce: python measure.py DIR.

The folders in DIR that are named by a period are sweeps that recorded the loss at every step. The
onset is known from the loss alone; so each run is trained again up to it, alone, and its largest
Hessian eigenvalue computed at the three steps around it. Writes ``onsets.csv``, a row per run and
level, ``powers.csv``, powers of learning rate and width of which the seed is the unit, and
``onsets.png``.
"""

import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import dynsweep
from dynsweep.config import from_flat
from dynsweep.curvature.threshold import LEVEL, known_sharpness, onset
from dynsweep.engines import choose
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import torch_settings
from dynsweep.figures import style
from dynsweep.training.probe import Probe
from dynsweep.training.schedules import Schedule

LEVELS = (1e-2, 1e-3, 1e-4)  # the middle one is the default
EARLY = 100  # steps: before, the sharpness of fresh weights falls and rises within tens of steps


def around(run: pd.Series, steps: Iterable[int]) -> dict[int, tuple[float, float]]:
    """Loss and largest Hessian eigenvalue of F(t) after those steps, by step."""
    settings = from_flat(
        {
            "dataset.name": "spirals", "model.name": "mlp", "model.width": int(run["width"]),
            "optimizer.lr": float(run["lr"]), "seed": int(run["seed"]), "steps": int(run["steps"]),
            "loss.period": int(run["period"]), "loss.amplitude": float(run["amplitude"]),
            "loss.last_period_static": bool(run["loss.last_period_static"]), "engine.threads": 1,
        }
    )  # fmt: skip
    if settings.identity() != run["id"]:
        raise SystemExit(f"run {run['id']}: has settings that this script does not know")
    batch, found = Batch((settings,)), {}
    with torch_settings(settings, "cpu"):
        session, probe = choose(settings, "cpu").begin(batch, "cpu"), Probe(batch, "cpu")
        schedule = Schedule(batch, "cpu", probe)
        for step in sorted(steps):
            schedule.advance(session, step - session.step)
            probe.load(session)
            weights = schedule.class_weights(step)[0]
            spectrum = probe.sharpness(weights, tolerance=0.003)
            found[step] = float(probe.loss(weights).item()), float(spectrum.values[0, 0])
    return found


def measure(run: pd.Series) -> list[dict[str, float]]:
    """A row per level."""
    record = dynsweep.load_trajectory(run)
    time, loss, unknown = record["step"], record["loss"], np.full(len(record), np.nan)
    starts = [
        onset(time, record["loss_change"], unknown, loss=loss, level=level).step
        for level in LEVELS
    ]
    wanted = {int(at) + k for at in starts if np.isfinite(at) for k in (-1, 0, 1)}
    values = around(run, wanted)
    recorded = record.set_index("step")["loss"]
    rows = []
    for level, at in zip(LEVELS, starts, strict=True):
        sharpness = np.nan
        if np.isfinite(at):
            near = [int(at) + k for k in (-1, 0, 1)]
            # The loss of many runs together is rounded otherwise than that of one.
            if not np.allclose([values[step][0] for step in near], recorded[near], rtol=1e-5):
                raise SystemExit(f"{run['id']}: trained alone, the loss is another")
            sharpness = known_sharpness(near, [values[step][1] for step in near])[1][1]
        setting = {name: run[name] for name in ("period", "lr", "width", "seed")}
        rows.append({**setting, "level": level, "step": at, "sharpness": sharpness})
    return rows


def powers(onsets: pd.DataFrame) -> pd.Series:
    """log sharpness = a + p log lr + q log width, by least squares over the runs of one seed."""
    logs = np.log(onsets.dropna(subset="sharpness")[["lr", "width", "sharpness"]].astype(float))
    design = np.column_stack([np.ones(len(logs)), logs["lr"], logs["width"]])
    _, lr, width = np.linalg.lstsq(design, logs["sharpness"].to_numpy(), rcond=None)[0]
    return pd.Series({"lr": lr, "width": width})


def table(onsets: pd.DataFrame) -> pd.DataFrame:
    """Powers by period and level: mean and standard error over seeds."""
    rows = []
    for (period, level), part in onsets.groupby(["period", "level"]):
        # Learning rates from 1 on are those that all periods have.
        for least, first in product(sorted({part["lr"].min(), 1.0}), (0, EARLY)):
            runs = part[(part["lr"] >= least) & ~(part["step"] < first)]
            fits = runs.groupby("seed")[["lr", "width", "sharpness"]].apply(powers)
            fits["ratio"] = (runs["sharpness"] * runs["lr"] / 2).groupby(runs["seed"]).mean()
            row = {"period": period, "level": level, "least_lr": least, "first_step": first}
            row |= {
                "seeds": len(fits),
                "runs": len(runs),
                "bouncing": int(runs["sharpness"].notna().sum()),
            }
            for name, values in fits.items():
                row |= {str(name): values.mean(), f"{name}_se": values.sem()}
            rows.append(row)
    return pd.DataFrame(rows)


@style.styled
def draw(onsets: pd.DataFrame, found: pd.DataFrame) -> Figure:
    """Onsets over the learning rate and over the width, and the power of the width over T."""
    figure = Figure(figsize=(12.5, 4.2))
    left, middle, right = figure.subplots(1, 3)
    shown = onsets[onsets["level"] == LEVEL]
    for k, (width, part) in enumerate(shown[shown["period"] == 500].groupby("width")):
        cell = part.groupby("lr")["sharpness"].mean()
        left.plot(cell.index, cell, label=f"H = {width:g}", **style_of(k))
    rates = np.array(sorted(shown["lr"].unique()))
    left.plot(rates, 2 / rates, "--", color=style.INK, label="2/lr")
    left.set(xscale="log", yscale="log", xlabel="learning rate", title="T = 500")
    left.set_ylabel("largest Hessian eigenvalue\nwhere bouncing starts")
    shown = onsets[(onsets["level"] == LEVELS[0]) & (onsets["lr"] == 2)]
    for k, (period, part) in enumerate(shown.groupby("period")):
        cell = part.groupby("width")["sharpness"].agg(["mean", "sem"])
        name = f"T = {period:g}"
        middle.errorbar(cell.index, cell["mean"], cell["sem"], label=name, **style_of(k))
    middle.axhline(1, linestyle="--", color=style.INK)
    middle.set(
        xscale="log", xlabel="hidden units H", title=f"learning rate 2, level {LEVELS[0]:g}"
    )
    middle.set_ylabel("sharpness at the onset / (2 / lr)")
    found = found[found["least_lr"] == 1]
    for k, (level, part) in enumerate(found[found["first_step"] == 0].groupby("level")):
        name = f"level {level:g}"
        right.errorbar(part["period"], part["width"], part["width_se"], label=name, **style_of(k))
    part = found[(found["first_step"] == EARLY) & (found["level"] == LEVELS[0])]
    name = f"level {LEVELS[0]:g}, after step {EARLY}"
    right.errorbar(part["period"], part["width"], part["width_se"], label=name, **style_of(3))
    right.axhline(0, linestyle="--", color=style.INK)
    right.set(xscale="log", xlabel="period T (steps)", ylabel="power of the width")
    right.set_title("learning rates 1 to 2.8")
    for ax in (left, middle, right):
        ax.legend(fontsize=style.SMALL)
        style.round_ticks(ax.xaxis)
    style.round_ticks(left.yaxis)
    facts = "A = 20, means and standard errors over seeds"
    return style.title(figure, "Where the loss starts to bounce", facts)


def style_of(k: int) -> dict[str, Any]:
    """The look of a line."""
    return {"color": style.COLOURS[k], "marker": style.MARKERS[k], "markersize": 4.5}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    runs = dynsweep.load([one for one in folder.iterdir() if one.name.isdecimal()])
    onsets = pd.DataFrame([row for _, run in runs.iterrows() for row in measure(run)])
    onsets.to_csv(folder / "onsets.csv", index=False, float_format="%.6g")
    found = table(onsets)
    found.to_csv(folder / "powers.csv", index=False, float_format="%.4g")
    print(found.round(4).to_string(index=False))
    style.save_all(draw(onsets, found), folder / "onsets", ["png"])
