"""Small pictures for the report page: a decision region and a trajectory of each cell."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynsweep.analysis import decisions
from dynsweep.figures import style
from dynsweep.figures.decision_regions import half_side
from dynsweep.store.records import FAILED, METRICS
from dynsweep.store.trajectories import load_trajectories

TILE = 36  # pixels
MOST_TILES = 4000
POINTS = 120  # of a trajectory
MOST_TRAJECTORIES = 600
OBSERVED = (*METRICS, "loss", "sharpness", "ntk")


def typical_rows(frame: pd.DataFrame, swept: list[str]) -> list[int]:
    """Of each cell the run with validation accuracy nearest to the mean, as row numbers."""
    runs = frame.reset_index(drop=True)
    runs = runs[runs["status"] != FAILED]
    if not swept:
        return [int(str(decisions.typical_run(runs).name))] if len(runs) else []
    groups = runs.groupby(swept, dropna=False, sort=False)
    mean = groups["validation_accuracy"].transform("mean")
    distance = (runs["validation_accuracy"] - mean).abs().round(9).fillna(2.0)
    keys = [runs[name] for name in swept]
    nearest = distance.groupby(keys, dropna=False, sort=False).idxmin()
    return [int(row) for row in nearest]


def decision_sprite(frame: pd.DataFrame, rows: list[int]) -> dict[str, Any] | None:
    """Decision regions of some runs as tiles of one PNG, with a palette.

    Returns:
        ``image`` (a data URL), ``tile`` (pixels), ``columns`` (tiles in a row) and ``rows`` (the
        row number of each tile, in order); ``None`` if no run has its weights recorded.
    """
    import torch
    from PIL import Image

    runs = frame.reset_index(drop=True).iloc[rows]
    runs = decisions.drawable(runs)
    if runs.empty or len(runs) > MOST_TILES:
        return None
    # Thousands of products too small to share among threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tiles, told = [], []
    for (directory, file), group in runs.groupby(["directory", "weights"], sort=False):
        for row, tile in _tiles(str(directory), str(file), group):
            told.append(row)
            tiles.append(tile)
    torch.set_num_threads(threads)
    columns = int(np.ceil(np.sqrt(len(tiles))))
    sheet = np.zeros((-(-len(tiles) // columns) * TILE, columns * TILE), dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * TILE, place % columns * TILE
        sheet[top : top + TILE, left : left + TILE] = tile
    image = Image.fromarray(sheet).convert("P")
    image.putdata(sheet.ravel().tolist())
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True, bits=4)
    text = base64.b64encode(file.getvalue()).decode()
    return {
        "image": f"data:image/png;base64,{text}",
        "tile": TILE,
        "columns": columns,
        "rows": told,
    }


def _tiles(directory: str, file: str, runs: pd.DataFrame) -> list[tuple[int, NDArray[np.uint8]]]:
    """Row number and class map of runs whose weights are in one file."""
    from dynsweep.store.records import weights_of

    held = weights_of(directory, file)
    found = []
    for row, run in runs.iterrows():
        dataset = decisions.dataset_of(run)
        side = half_side(dataset.train_inputs)
        line = np.linspace(-side, side, TILE)
        x, y = np.meshgrid(line, line[::-1])
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        predict = decisions.predictor_of(run, held[run["id"]], dataset.shape, dataset.classes)
        classes = predict(points).reshape(TILE, TILE)
        found.append((int(str(row)), (classes + 1).astype(np.uint8)))
    return found


def _palette() -> list[int]:
    """No class, then the classes' colours."""
    colours = ["#dddddd", *style.CLASSES]
    return [int(colour[i : i + 2], 16) for colour in colours for i in (1, 3, 5)]


def trajectories(frame: pd.DataFrame, rows: list[int]) -> dict[int, dict[str, Any]]:
    """What was observed along some runs, thinned: by row number, columns by name."""
    runs = frame.reset_index(drop=True).iloc[rows[:MOST_TRAJECTORIES]]
    if "trajectory" not in runs or runs["trajectory"].isna().all():
        return {}
    found: dict[int, dict[str, Any]] = {}
    for directory, group in runs[runs["trajectory"].notna()].groupby("directory"):
        whole = load_trajectories(str(directory))
        whole = whole[whole["id"].isin(group["id"])]
        by_id = dict(list(whole.groupby("id")))
        for row, run in group.iterrows():
            if run["id"] in by_id:
                found[int(str(row))] = _thinned(by_id[run["id"]])
    return found


def _thinned(trajectory: pd.DataFrame) -> dict[str, Any]:
    columns = {}
    for name in OBSERVED:
        if name not in trajectory or trajectory[name].isna().all():
            continue
        known = trajectory[["step", name]].dropna()
        chosen = known.iloc[np.unique(np.linspace(0, len(known) - 1, POINTS).astype(int))]
        values = [float(f"{v:.4g}") for v in chosen[name]]
        columns[name] = [chosen["step"].astype(int).tolist(), values]
    return columns
