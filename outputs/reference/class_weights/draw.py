"""Draw the class weights G(t) of three classes, and check what they promise."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dynsweep.figures import style
from dynsweep.loss import class_weights

PERIOD, AMPLITUDES, CLASSES, CYCLES = 200, (3.0, 20.0), 3, 4


@style.styled
def main(directory: Path) -> None:
    steps = np.arange(CYCLES * PERIOD + 1.0)
    # Many amplitudes as a batch of runs: shape (steps, amplitudes, classes).
    weights = class_weights(
        steps[:, None], np.array(float(PERIOD)), np.array(AMPLITUDES),
        CLASSES, steps=len(steps), last_period_static=False,
    ).swapaxes(0, 1)  # fmt: skip
    figure = Figure(figsize=(8.6, 3.1))
    axes = figure.subplots(1, len(AMPLITUDES), sharey=True)
    for ax, amplitude, curves in zip(axes, AMPLITUDES, weights, strict=True):
        for i, curve in enumerate(curves.T):
            # Two of the three coincide at any time: later ones are thinner.
            width = 1.2 + 1.1 * (CLASSES - 1 - i)
            ax.plot(steps, curve, color=style.COLOURS[i], linewidth=width, label=f"class {i}")
        total = curves.sum(axis=1)
        ax.plot(steps, total, color=style.INK, linewidth=1, linestyle="--", label="sum")
        ax.set(title=f"amplitude A = {amplitude:.0f}", xlabel="time t (steps)")
        ax.set_xlim(0, int(steps[-1]))
        ax.set_xticks(range(0, CYCLES * PERIOD + 1, PERIOD))
        ax.set_ylim(0, CLASSES + 0.25)
    axes[0].set_ylabel("class weight $G_i(t)$")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    facts = f"period T = {PERIOD} steps; each cycle emphasises one class"
    style.title(figure, "Weights of three classes in the loss", facts)
    style.save_all(figure, directory / "class_weights", ("png",))
    print(f"largest |sum - {CLASSES}|: {np.abs(weights.sum(-1) - CLASSES).max():.1e}")
    for amplitude, curves in zip(AMPLITUDES, weights, strict=True):
        print(f"A = {amplitude:.0f}: weights from {curves.min():.4f} to {curves.max():.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
