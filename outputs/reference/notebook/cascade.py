"""Draw how the loss's change splits into 2 and 4 branches, and count windows of each period."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dynsweep.figures import style

SHOWN = ((4000, 5060), (18_800, 19_900))  # the ends of the first and the fourth cycle
BRANCHES, WINDOW = 4, 64


@style.styled
def main(directory: Path) -> None:
    files = sorted((directory / "every_step" / "trajectories").glob("*.csv.gz"))
    frame = pd.read_csv(files[-1]).sort_values("step")
    step, loss, change = (frame[name].to_numpy() for name in ("step", "loss", "loss_change"))
    figure = Figure(figsize=(9.6, 3.4))
    axes = figure.subplots(1, len(SHOWN))
    for ax, (first, last) in zip(axes, SHOWN, strict=True):
        for branch in range(BRANCHES):
            part = (step >= first) & (step <= last) & (step % BRANCHES == branch)
            ax.plot(step[part], change[part], ".", markersize=2.2, label=str(branch))
        ax.set(xlim=(first, last), xlabel="time t (steps)")
    axes[0].set_ylabel("change of loss $F(t) - F(t-1)$")
    axes[-1].legend(
        title="t modulo 4", loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=4
    )
    facts = "width = 100, lr = 1, T = 5000, A = 70, seed = 0; the ends of two cycles"
    style.title(figure, "A cascade of period doublings", facts)
    style.save_all(figure, directory / "cascade", ("png",))
    count(loss, directory)


def count(loss: np.ndarray, directory: Path) -> None:
    """Share of the power of F(t) - F(t-1) at periods 2 and 4 where the loss bounces."""
    frequency = np.fft.rfftfreq(WINDOW)
    rows = []
    for start in range(0, len(loss) - WINDOW, WINDOW):
        part = loss[start : start + WINDOW]
        change = np.diff(part, prepend=part[0])
        change = change - np.median(change)
        if np.abs(change).max() < 0.01 * part.mean():
            continue
        power = np.abs(np.fft.rfft(change * np.hanning(WINDOW))) ** 2
        shares = [
            power[np.abs(frequency - 1 / period) < 0.035].sum() / power.sum() for period in (2, 4)
        ]
        rows.append((start, *shares))
    table = pd.DataFrame(rows, columns=["from_step", "period_2", "period_4"])
    table.round(3).to_csv(directory / "cascade.csv", index=False)
    two, four = (table["period_2"] > 0.8).sum(), (table["period_4"] > 0.15).sum()
    print(f"{len(table)} of {len(loss) // WINDOW} windows of {WINDOW} steps bounce;", end=" ")
    print(f"period 2 has over 80 % of the power in {two}, period 4 over 15 % in {four}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
