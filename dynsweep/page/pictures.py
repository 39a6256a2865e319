"""Small pictures for the report page: a decision region and a trajectory of each cell."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynsweep.analysis import decisions
from dynsweep.data import load
from dynsweep.errors import DynsweepError
from dynsweep.figures import style
from dynsweep.store import METRICS, Damaged, load_trajectories, load_weights
from dynsweep.store.damage import left_out

TILE = 36  # pixels
MOST_TILES = 4000
POINTS = 120  # of a trajectory
MOST_TRAJECTORIES = 600
OBSERVED = (*METRICS, "loss", "sharpness", "ntk")


def decision_sprite(runs: pd.DataFrame) -> dict[str, Any] | None:
    """Decision regions of some runs as tiles of one PNG, with a palette.

    Returns:
        ``image`` (a data URL), ``tile`` (pixels), ``columns`` (tiles in a row) and ``rows`` (the
        index of each tile's run, in order); ``None`` if no run has its weights recorded.
    """
    import torch
    from PIL import Image

    shown = decisions.drawable(runs)
    if shown.empty or len(shown) > MOST_TILES:
        return None
    # Thousands of products too small to share among threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tiles = dict(_tiles(shown))
    torch.set_num_threads(threads)
    if not tiles:
        return None
    columns = int(np.ceil(np.sqrt(len(tiles))))
    lines = -(-len(tiles) // columns)
    stack = np.zeros((lines * columns, TILE, TILE), dtype=np.uint8)
    stack[: len(tiles)] = list(tiles.values())
    sheet = stack.reshape(lines, columns, TILE, TILE).swapaxes(1, 2)
    image = Image.frombytes("P", (columns * TILE, lines * TILE), sheet.tobytes())
    # No class, then the classes' colours, and again.
    colours = ["#dddddd", *style.COLOURS * 16][:256]
    image.putpalette([int(colour[i : i + 2], 16) for colour in colours for i in (1, 3, 5)])
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True, bits=4 if stack.max() < 16 else 8)
    text = base64.b64encode(file.getvalue()).decode()
    image_url = f"data:image/png;base64,{text}"
    return {"image": image_url, "tile": TILE, "columns": columns, "rows": list(tiles)}


def _tiles(runs: pd.DataFrame) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Row number and class map of each run; 0 is no class."""
    settings = decisions.recorded_settings(runs)
    for (directory, file), batch in runs.groupby(["directory", "weights"], sort=False):
        try:
            weights = load_weights(str(directory), str(file))
        except Damaged as error:
            left_out(error, "decision regions of the runs of one batch")
            continue
        for row, run in batch["id"].items():
            if run not in weights or run not in settings:
                continue
            try:
                shown = decisions.window(load(settings[run].dataset).train_inputs)
                predict = decisions.predictor(settings[run], weights[run])
            except DynsweepError:  # of data or code that was somewhere else then
                continue
            classes = predict(decisions.plane(shown, TILE)).reshape(TILE, TILE)[::-1]
            yield int(str(row)), (classes + 1).astype(np.uint8)


def trajectories(runs: pd.DataFrame) -> dict[int, dict[str, Any]]:
    """What was observed along some runs, thinned: by their index, columns by name."""
    shown = runs.head(MOST_TRAJECTORIES).dropna(subset=["trajectory"])
    thinned: dict[int, dict[str, Any]] = {}
    for directory, group in shown.groupby("directory"):
        recorded = load_trajectories(str(directory)).groupby("id")
        for row, run in group["id"].items():
            if run in recorded.groups:
                thinned[int(str(row))] = _thinned(recorded.get_group(run))
    return thinned


def _thinned(trajectory: pd.DataFrame) -> dict[str, Any]:
    columns = {}
    trajectory = trajectory.dropna(axis="columns", how="all")
    for name in filter(trajectory.__contains__, OBSERVED):
        values = trajectory[["step", name]].dropna()
        chosen = values.iloc[np.unique(np.linspace(0, len(values) - 1, POINTS).astype(int))]
        steps = chosen["step"].astype(int).tolist()
        columns[name] = [steps, [float(f"{v:.4g}") for v in chosen[name]]]
    return columns
