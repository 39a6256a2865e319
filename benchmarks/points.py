"""How the time of a step grows with the number of points, dense and by half-planes: CSV, figure,
and a picture of one unit's line through the groups of points.

    python benchmarks/points.py [--out outputs/reference/scaling]      # some minutes

One thread, float32, microseconds a run and step; of rounds that measure all paths in turn the
best counts, in processor time of the thread, which other work on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dynsweep.config import EngineConfig, MLPConfig, RunConfig, SpiralsConfig
from dynsweep.data import load
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledSession
from dynsweep.engines.compiled_vectors import processor
from dynsweep.engines.half_planes import HalfPlaneSession
from dynsweep.engines.half_planes_points import box, neighbours
from dynsweep.figures import style
from dynsweep.training.schedules import Schedule

PATHS: dict[str, type[CompiledSession]] = {
    "dense": CompiledSession,
    "half-planes": HalfPlaneSession,
}
WIDTHS = (100, 1000)
POINTS = (100, 300, 1000, 3000, 10_000, 30_000)
VECTORS = {64: "AVX-512", 32: "AVX2"}
RUNS, GROUP = 2, 16


def measure(width: int, points: int, rounds: int, seconds: float) -> dict[str, float]:
    """Microseconds a run and step of each path, training from the same weights."""
    batch = Batch(
        tuple(
            RunConfig(
                SpiralsConfig(samples_per_class=points),
                MLPConfig(width=width),
                engine=EngineConfig(threads=1),
                steps=10**9,
                seed=seed,
            )
            for seed in range(RUNS)
        )
    )
    trainers: list[tuple[str, Callable[[int], None], int]] = []
    for name, session in PATHS.items():
        advance = partial(Schedule(batch, "cpu").advance, session(batch, "cpu"))
        advance(20)
        start = time.thread_time()
        advance(2)
        trainers.append((name, advance, max(2, int(2 * seconds / (time.thread_time() - start)))))
    best = dict.fromkeys(PATHS, float("inf"))
    for _ in range(rounds):
        for name, advance, steps in trainers:
            start = time.thread_time()
            advance(steps)
            best[name] = min(best[name], (time.thread_time() - start) / steps / RUNS * 1e6)
    return best


@style.styled
def draw(table: pd.DataFrame, path: Path) -> None:
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    ax = figure.add_subplot()
    for k, width in enumerate(WIDTHS):
        for name, dashes in zip(PATHS, ("dashed", "solid"), strict=True):
            rows = table[(table["width"] == width) & (table["path"] == name)]
            looks = {"color": style.COLOURS[k], "marker": style.MARKERS[k], "linestyle": dashes}
            label = f"H = {width}, {name}"
            ax.plot(rows["points_per_class"], rows["microseconds"], label=label, **looks)
    first = table[table["path"] == "half-planes"].groupby("width")["microseconds"].first()
    line = np.array(POINTS)
    for place, start in enumerate(first):
        label = "like the square root" if place == 0 else None
        ax.plot(line, start * np.sqrt(line / line[0]), ":", color="0.5", label=label)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="training points of a class",
        ylabel="time per run and step (µs)",
    )
    ax.legend(handlelength=3.5)
    facts = f"spirals, 3 classes, float32, one thread, {VECTORS[processor().bytes]}"
    style.title(figure, "Time of a step over the number of points", facts)
    style.save_all(figure, path / "points")


@style.styled
def picture(path: Path) -> None:
    """The line of one unit, and which groups of points it finds off, on and cut."""
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    normal, offset = np.array([0.8, 0.6]), 0.12
    faces = {"on": style.COLOURS[0], "cut": style.COLOURS[1], "off": "0.85"}
    for ax, count in zip(figure.subplots(1, 2), (100, 1000), strict=True):
        points = load(SpiralsConfig(samples_per_class=count)).train_inputs
        groups = [group for part in neighbours(points, GROUP) for group in part]
        found = dict.fromkeys(faces, 0)
        for group in groups:
            x, y, width, height = box(points[group])
            centre, reach = normal @ [x, y] + offset, np.abs(normal) @ [width, height]
            side = "on" if centre > reach else "off" if centre < -reach else "cut"
            found[side] += 1
            corner, size = (x - width, y - height), (2 * width, 2 * height)
            ax.add_patch(Rectangle(corner, *size, facecolor=faces[side], alpha=0.55, lw=0))
            ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor="0.35", lw=0.4))
        ax.plot(*points.T, ".", color=style.INK, markersize=1.5 if count > 300 else 3)
        along = np.array([[-2.0], [2.0]]) * [normal[1], -normal[0]] - offset * normal
        ax.plot(*along.T, color=style.INK, lw=1.5)
        shares = ", ".join(f"{side} {number / len(groups):.0%}" for side, number in found.items())
        ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"{len(points):,} points, {len(groups)} groups: {shares}", fontsize="small")
    handles = [Rectangle((0, 0), 1, 1, facecolor=faces[k], alpha=0.55) for k in faces]
    labels = ["on: one affine function for the group", "cut: point by point", "off: nothing to do"]
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    style.title(
        figure,
        "One hidden unit is a half-plane",
        f"groups of {GROUP} neighbouring points of the spirals",
    )
    style.save_all(figure, path / "half_plane")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("outputs/reference/scaling"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.05, help="of one measurement")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    picture(options.out)
    rows = []
    for width in WIDTHS:
        for points in POINTS:
            times = measure(width, points, options.rounds, options.seconds)
            print(f"H = {width}, {points} points a class:", end=" ")
            print(", ".join(f"{name} {value:.3g} µs" for name, value in times.items()), flush=True)
            for name, value in times.items():
                row = {"width": width, "points_per_class": points, "path": name}
                rows.append(row | {"microseconds": value})
    table = pd.DataFrame(rows)
    table.to_csv(options.out / "points.csv", index=False, float_format="%.5g")
    draw(table, options.out)


if __name__ == "__main__":
    main()
