"""Draw the class weights G(t) of three classes, in all shapes and orders, and check what they
promise."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynsweep.figures import style
from dynsweep.loss import ORDERS, SHAPES, class_weights, drawn_classes

PERIOD, CLASSES, CYCLES = 200, 3, 4
AMPLITUDES, MIDDLE = (3.0, 20.0), 5.0
SEED = 2  # of the random order: one whose first classes are not in turn
STEPS = np.arange(CYCLES * PERIOD + 1.0)


def weights(amplitude: float, shape: str = "triangle", order: str = "cyclic") -> Any:
    """G(t), shape ``(steps, classes)``."""
    drawn = drawn_classes(SEED, CYCLES + 1, CLASSES)[None], np.zeros((), int)
    return class_weights(
        STEPS, np.array(float(PERIOD)), np.array(amplitude), CLASSES, steps=len(STEPS),
        last_period_static=False, shape=shape, order=order, drawn=drawn,
    )  # fmt: skip


def panel(ax: Axes, curves: Any) -> None:
    for i, curve in enumerate(curves.T):
        # Two of the three coincide at any time: later ones are thinner.
        width = 1.2 + 1.1 * (CLASSES - 1 - i)
        ax.plot(STEPS, curve, color=style.COLOURS[i], linewidth=width, label=f"class {i}")
    total = curves.sum(axis=1)
    ax.plot(STEPS, total, color=style.INK, linewidth=1, linestyle="--", label="sum")
    ax.set_xlim(0, int(STEPS[-1]))
    ax.set_xticks(range(0, CYCLES * PERIOD + 1, PERIOD))
    ax.set_ylim(0, CLASSES + 0.25)


@style.styled
def of_the_paper(directory: Path) -> None:
    figure = Figure(figsize=(8.6, 3.1))
    axes = figure.subplots(1, len(AMPLITUDES), sharey=True)
    for ax, amplitude in zip(axes, AMPLITUDES, strict=True):
        panel(ax, weights(amplitude))
        ax.set(title=f"amplitude A = {amplitude:.0f}", xlabel="time t (steps)")
    axes[0].set_ylabel("class weight $G_i(t)$")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    facts = f"period T = {PERIOD} steps; each cycle emphasises one class"
    style.title(figure, "Weights of three classes in the loss", facts)
    style.save_all(figure, directory / "class_weights", ("png",))


@style.styled
def of_all(directory: Path) -> None:
    """A row for each order, a column for each shape."""
    figure = Figure(figsize=(8.6, 5.4))
    grid = figure.subplots(len(ORDERS), len(SHAPES), sharex=True, sharey=True)
    for order, row in zip(ORDERS, grid, strict=True):
        for shape, ax in zip(SHAPES, row, strict=True):
            panel(ax, weights(MIDDLE, shape, order))
            ax.tick_params(labelsize=style.SMALL)
            ax.label_outer()
        row[0].set_ylabel(f"{order}\n$G_i(t)$")
    for shape, top, bottom in zip(SHAPES, grid[0], grid[-1], strict=True):
        top.set_title(shape)
        bottom.set_xlabel("time t (steps)")
    grid[0, -1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    facts = (
        f"three classes, T = {PERIOD} steps, A = {MIDDLE:.0f}; random: the classes of seed {SEED}"
    )
    style.title(figure, "loss.shape (columns) and loss.order (rows)", facts)
    style.save_all(figure, directory / "shapes", ("png",))


def main(directory: Path) -> None:
    of_the_paper(directory)
    of_all(directory)
    every = [
        weights(amplitude, shape, order)
        for amplitude in AMPLITUDES for shape in SHAPES for order in ORDERS
    ]  # fmt: skip
    print(f"largest |sum - {CLASSES}|: {np.abs(np.stack(every).sum(-1) - CLASSES).max():.1e}")
    for amplitude in AMPLITUDES:
        curves = weights(amplitude)
        print(f"A = {amplitude:.0f}: weights from {curves.min():.4f} to {curves.max():.4f}")
    same = all((weights(1.0, shape, order) == 1).all() for shape in SHAPES for order in ORDERS)
    print(f"at A = 1 all are 1: {same}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
