"""The conditions that the search chose, on draws of the data and with seeds that it did not use.

python outputs/reference/generalisation/confirm.py DIR

DIR/NAME holds the runs of a condition, static ones with snapshots. Writes confirm.csv and
confirm.png to DIR: paired differences of validation accuracy, a draw of the data as the unit.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t, ttest_1samp

import dynsweep
from dynsweep.data.spirals import SpiralsConfig
from dynsweep.figures import style


class Best(NamedTuple):
    """What was best in the search, of 35,000 steps with the dynamical loss."""

    lr: float
    static_lr: float
    static_steps: int


CONDITIONS = {"few_points": Best(1.0, 1.2, 35_000), "wide": Best(1.0, 1.2, 35_000)}
TITLES = {"few_points": "H = 300, the last fifth static", "wide": "H = 1000"}
RIVALS = {
    "equal": "at equal settings",
    "tuned": "at its best learning rate and steps",
    "longest": "trained longest",
    "early": "stopped early, each run at its best step",
    "both_early": "both losses stopped early",
}
PAIR = ["dataset.seed", "seed"]


def holm(p: pd.Series) -> pd.Series:
    """P-values corrected after Holm, which bounds the chance of any false discovery."""
    ordered = p.sort_values()
    return (ordered * np.arange(len(p), 0, -1)).cummax().clip(upper=1).reindex(p.index)


@lru_cache(maxsize=1)
def points(
    samples: int, validation: int, noise: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Validation points ``(points, 2)`` and their classes."""
    data = SpiralsConfig(
        samples_per_class=samples, validation_samples_per_class=validation, noise=noise, seed=seed
    ).load()
    return data.validation_inputs.astype(np.float32), data.validation_labels


def halves(run: pd.Series, weights: dict[str, np.ndarray]) -> tuple[float, float]:
    """Accuracy of a network on the validation points of even and of odd number."""
    sizes = ("dataset.samples_per_class", "dataset.validation_samples_per_class")
    samples, validation = (int(run[name]) for name in sizes)
    x, labels = points(samples, validation, float(run["dataset.noise"]), int(run["dataset.seed"]))
    hidden = np.maximum(x @ weights["w1"] + weights["b1"], 0)
    right = (hidden @ weights["w2"] + weights["b2"]).argmax(axis=1) == labels
    return float(right[::2].mean()), float(right[1::2].mean())


def measured(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per run and step: the accuracies of :func:`halves`."""
    rows = []
    for _, run in runs.sort_values(PAIR).iterrows():
        ends = {int(run["steps"]): dynsweep.load_weights(run)}
        snapshots = {} if pd.isna(run["snapshots"]) else dynsweep.load_snapshots(run)
        keys = {name: run[name] for name in (*PAIR, "lr", "amplitude")}
        rows += [{**keys, "step": step, **dict(zip(("even", "odd"), halves(run, w), strict=True))}
                 for step, w in (snapshots | ends).items()]  # fmt: skip
    # A longer run of the static loss passes through the end of a shorter one.
    return pd.DataFrame(rows).drop_duplicates([*keys, "step"])


def differences(steps: pd.DataFrame, best: Best) -> pd.DataFrame:
    """Dynamical less static accuracy of each pair, a column for each of the static loss's ways.

    Args:
        steps: as :func:`measured` gives them.
        best: the learning rates and the static loss's number of steps.
    """
    steps = steps.assign(both=(steps["even"] + steps["odd"]) / 2)
    trained = steps[(steps["amplitude"] > 1) & (steps["lr"] == best.lr)]
    dynamical = trained[trained["step"] == trained["step"].max()].set_index(PAIR)
    static = steps[steps["amplitude"] == 1]
    equal = static[(static["lr"] == best.lr)
                   & (static["step"] == dynamical["step"].iloc[0])]  # fmt: skip
    static = static[static["lr"] == best.static_lr]
    chosen, ours = (rows.loc[rows.groupby(PAIR)["even"].idxmax()] for rows in (static, trained))
    tuned, last = (
        static[static["step"] == end] for end in (best.static_steps, static["step"].max())
    )
    rivals = {"equal": equal, "tuned": tuned, "longest": last}
    told = {
        name: dynamical["both"] - rows.set_index(PAIR)["both"] for name, rows in rivals.items()
    }
    chosen, ours = chosen.set_index(PAIR)["odd"], ours.set_index(PAIR)["odd"]
    told |= {"early": dynamical["odd"] - chosen, "both_early": ours - chosen}
    return pd.DataFrame(told)[list(RIVALS)]


def main(directory: Path) -> None:
    rows, by_draw = [], {}
    for name, best in CONDITIONS.items():
        steps = measured(dynsweep.load(directory / name))
        dynamical = steps[(steps["amplitude"] > 1) & (steps["lr"] == best.lr)]
        dynamical = dynamical[dynamical["step"] == dynamical["step"].max()]
        accuracy = dynamical.groupby("dataset.seed")[["even", "odd"]].mean().mean(axis=1)
        by_draw[name] = differences(steps, best).groupby("dataset.seed").mean()
        for rival, gain in by_draw[name].items():
            half = gain.sem() * t.ppf(0.975, len(gain) - 1)
            rows.append({
                "condition": name, "static_loss": rival, "draws": len(gain),
                "runs": len(dynamical), "dynamical": accuracy.mean(), "gain": gain.mean(),
                "se": gain.sem(), "low": gain.mean() - half, "high": gain.mean() + half,
                "draws_better": int((gain > 0).sum()), "p": ttest_1samp(gain, 0).pvalue,
            })  # fmt: skip
    table = pd.DataFrame(rows)
    table["p_corrected"] = table.groupby("static_loss")["p"].transform(holm)
    table.round(5).to_csv(directory / "confirm.csv", index=False)
    print(table.round(4).to_string(index=False))
    draw(table, by_draw, directory)


@style.styled
def draw(table: pd.DataFrame, by_draw: dict[str, pd.DataFrame], directory: Path) -> None:
    """A panel for each condition: the draws, their mean and its 95 % interval."""
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    axes = figure.subplots(1, len(by_draw), sharey=True, squeeze=False)[0]
    for ax, (name, draws) in zip(axes, by_draw.items(), strict=True):
        ax.axvline(0, color=style.INK, linewidth=0.8)
        for place, rival in enumerate(RIVALS):
            row = table[(table["condition"] == name) & (table["static_loss"] == rival)].iloc[0]
            ax.plot(
                100 * draws[rival], [place + 0.25] * len(draws), ".", color="0.55", markersize=4
            )
            error = [[100 * (row["gain"] - row["low"])], [100 * (row["high"] - row["gain"])]]
            ax.errorbar(100 * row["gain"], place, xerr=error, fmt="o", capsize=3,
                        color=style.COLOURS[0])  # fmt: skip
        ax.set_title(TITLES[name])
        ax.set_xlabel("gain (points of validation accuracy)")
    axes[0].set_yticks(range(len(RIVALS)), list(RIVALS.values()))
    axes[0].set_ylim(len(RIVALS) - 0.5, -0.5)
    facts = "mean over draws of the data with its 95 % interval; grey: each draw, mean over seeds"
    style.title(figure, "Gain over the static loss", facts)
    style.save_all(figure, directory / "confirm", ("png",))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
