"""Learning rates that follow the curvature, beside constant ones of the same mean and others.

Usage: compare.py DIR, with the sweep ``sharpness_lr`` in DIR/follow. Trains the constant rates in
DIR/rates and writes DIR/comparison.csv and DIR/comparison.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, ttest_rel

import dynsweep

CELL, FRACTION = ["period", "amplitude"], "optimizer.schedule.fraction"
RATES = [0.25, 0.5, 1.0, 2.0]  # constant ones that a user would try


def followed(directory: Path) -> pd.DataFrame:
    """The runs, with the mean over each training of its learning rate; the static loss once."""
    runs = dynsweep.load(directory)
    runs = runs[(runs["amplitude"] > 1) | (runs["period"] == runs["period"].min())].copy()
    # Recorded every 50 steps: that of the steps since the record before.
    paths = (dynsweep.load_trajectory(run) for _, run in runs.iterrows())
    runs["rate"] = [path.loc[path["step"] % 50 == 0, "learning_rate"].mean() for path in paths]
    means = runs.groupby([*CELL, FRACTION])["rate"].transform("mean")
    runs["same"] = [float(f"{rate:.3g}") for rate in means]
    return runs


def main(directory: Path) -> None:
    runs = followed(directory / "follow")
    seeds = ",".join(str(seed) for seed in sorted(runs["seed"].unique()))
    for (period, amplitude), cell in runs.groupby(CELL):
        rates = ",".join(f"{rate:g}" for rate in sorted({*cell["same"], *RATES}))
        dynsweep.sweep(
            f"loss.period={period:g}", f"loss.amplitude={amplitude:g}", f"optimizer.lr={rates}",
            f"seed={seeds}", f"steps={cell['steps'].iloc[0]}", "save_weights=false",
            "report=false", directory=directory / "rates",
        )  # fmt: skip
    constant = dynsweep.load(directory / "rates").set_index([*CELL, "lr", "seed"])
    accuracy = constant["validation_accuracy"]
    rows = []
    for (period, amplitude, fraction), cell in runs.groupby([*CELL, FRACTION]):
        rate = cell["same"].iloc[0]
        cell = cell.set_index("seed")["validation_accuracy"].sort_index()
        same = accuracy[period, amplitude, rate].sort_index()
        tried = {one: accuracy[period, amplitude, one].mean() for one in RATES}
        best = max(tried, key=lambda one: tried[one])
        gain = cell - same
        tuned = accuracy[period, amplitude, best].sort_index()
        over_best = cell - tuned
        rows.append(
            {"period": period, "amplitude": amplitude, "fraction": fraction, "mean_lr": rate,
             "follows": cell.mean(), "same_mean": same.mean(), "gain": gain.mean(),
             "gain_se": gain.sem(), "p": ttest_rel(cell, same).pvalue, "best_lr": best,
             "best": tried[best], "gain_best": over_best.mean(), "gain_best_se": over_best.sem(),
             "p_best": ttest_rel(cell, tuned).pvalue}
        )  # fmt: skip
    table = pd.DataFrame(rows)
    for name in ("p", "p_best"):
        # Of pairs that are all equal no test is possible, and no difference is seen.
        table[f"{name}_corrected"] = false_discovery_control(table[name].fillna(1))
    table.round(4).to_csv(directory / "comparison.csv", index=False)
    print(table.round(3).to_string(index=False))
    draw(table, len(runs["seed"].unique())).savefig(directory / "comparison.png", dpi=150)


def draw(table: pd.DataFrame, seeds: int) -> plt.Figure:
    """The gain in validation accuracy over constant rates, a diagram for each fraction."""
    fractions = sorted(table["fraction"].unique())
    figure, axes = plt.subplots(
        2, len(fractions), figsize=(3 * len(fractions) + 1, 6.2), sharex=True, sharey=True,
        layout="constrained", squeeze=False,
    )  # fmt: skip
    table = table[table["amplitude"] > 1]
    limit = table[["gain", "gain_best"]].abs().max().max()
    for row, (gain, words) in enumerate((("gain", "same mean"), ("gain_best", "best of four"))):
        for ax, fraction in zip(axes[row], fractions, strict=True):
            cells = table[table["fraction"] == fraction].pivot(
                index="amplitude", columns="period", values=gain
            )
            errors = table[table["fraction"] == fraction].pivot(
                index="amplitude", columns="period", values=f"{gain}_se"
            )
            image = ax.imshow(
                cells, cmap="RdBu", vmin=-limit, vmax=limit, origin="lower", aspect="auto"
            )
            for (i, j), value in np.ndenumerate(cells.to_numpy()):
                colour = "white" if abs(value) > 0.6 * limit else "black"
                text = f"{value:+.2f}\n±{errors.iloc[i, j]:.2f}"
                ax.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
            ax.set_xticks(range(len(cells.columns)), [f"{x:g}" for x in cells.columns])
            ax.set_yticks(range(len(cells.index)), [f"{y:g}" for y in cells.index])
            ax.set_title(f"{fraction:g} of 2 / sharpness", fontsize=10)
        axes[row, 0].set_ylabel(f"against the constant rate:\n{words}\namplitude A")
    for ax in axes[1]:
        ax.set_xlabel("period T (steps)")
    figure.colorbar(image, ax=axes, label="gain in validation accuracy")
    facts = f"(mean ± standard error of {seeds} seeds)"
    figure.suptitle(f"A learning rate that follows the curvature {facts}")
    return figure


if __name__ == "__main__":
    main(Path(sys.argv[1]))
