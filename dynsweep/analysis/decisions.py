"""Which runs to show as decision regions, and what their saved weights predict."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynsweep import data
from dynsweep.analysis.columns import kinds, setting_columns
from dynsweep.analysis.select import matching, static_twin
from dynsweep.config import DATASETS, RunConfig, SpiralsConfig, from_flat, labels
from dynsweep.config.run import settings_of
from dynsweep.errors import DynsweepError
from dynsweep.own import is_argument
from dynsweep.store import FAILED, read

Window = tuple[float, float, float, float]
Predict = Callable[[NDArray[np.float64]], NDArray[np.int64]]

MARGIN = 0.15  # of the data's extent, around it
SLICE_BYTES = 16 * 2**20  # of what a model holds of the points it predicts at once; more is slower


def window(points: NDArray[np.float64]) -> Window:
    """What is shown of the plane for training inputs ``(samples, 2)``: left, right, bottom, top.

    A square around the origin if the points fill it, as spirals and standardised inputs do.
    """
    half = float(np.abs(points).max()) * (1 + MARGIN)
    low, high = points.min(axis=0), points.max(axis=0)
    if (high - low >= half).all():
        return -half, half, -half, half
    margin = np.where(high > low, high - low, 1.0) * MARGIN / 2
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    return left, right, bottom, top


def plane(shown: Window, pixels: int) -> NDArray[np.float64]:
    """The points of a picture, line by line from below, ``(pixels * pixels, 2)``."""
    left, right, bottom, top = shown
    x, y = np.linspace(left, right, pixels), np.linspace(bottom, top, pixels)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def drawable(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with saved weights of a model of the plane."""
    spirals = [name for name, kind in DATASETS.items() if issubclass(kind, SpiralsConfig)]
    flat = kinds(runs)["dataset"].isin(spirals)
    if "dataset.inputs_count" in runs:
        flat |= runs["dataset.inputs_count"] == 2
    return runs[runs["weights"].notna() & (runs["status"] != FAILED) & flat.astype(bool)]


def typical_runs(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Of each group of equal values of ``by`` the run with validation accuracy nearest to the
    group's mean, the first of several."""
    keys: Any = [runs[name] for name in by] or (lambda row: 0)
    accuracy = runs["validation_accuracy"]
    mean = accuracy.groupby(keys, dropna=False, sort=False).transform("mean")
    distance = (accuracy - mean).abs().round(9).fillna(2.0)
    typical: pd.DataFrame = runs.loc[distance.groupby(keys, dropna=False, sort=False).idxmin()]
    return typical


def typical_of_cell(runs: pd.DataFrame, cell: pd.Series) -> pd.DataFrame:
    """The typical one of the runs with a cell's settings, if there are any."""
    settings = [name for name in setting_columns(runs) if name != "seed"]
    return typical_runs(runs[matching(runs, {name: cell[name] for name in settings})], [])


def static_and_best(runs: pd.DataFrame, best: pd.Series) -> pd.DataFrame:
    """A typical run of the best cell, and before it the static run of the same seed; none if
    the cell has none."""
    chosen = typical_of_cell(runs, best)
    if chosen.empty or best["amplitude"] == 1:
        return chosen
    static = static_twin(runs, best)
    same_seed = static[static["seed"] == chosen["seed"].iloc[0]].head(1)
    before: pd.DataFrame = typical_runs(static, []) if same_seed.empty else same_seed
    return pd.concat([before, chosen])


def title(run: pd.Series, swept: list[str]) -> str:
    """Two lines: period and amplitude, the values of the ``swept`` settings, the seed; and the
    accuracies."""
    dynamics = "static (A = 1)"
    if run["amplitude"] != 1:
        dynamics = f"T = {labels.number(run['period'])}, A = {labels.number(run['amplitude'])}"
    others = [name for name in swept if name not in ("period", "amplitude", "seed")]
    words = [dynamics, *(labels.assignment(n, run[n]) for n in others), f"seed {run['seed']}"]
    return (
        f"{', '.join(words)}\naccuracy: training {run['train_accuracy']:.3f}, "
        f"validation {run['validation_accuracy']:.3f}"
    )


def recorded_settings(runs: pd.DataFrame) -> dict[str, RunConfig]:
    """The typed settings of runs by their ``id``, from the records themselves.

    A record of another version may have settings that this one does not know: without those.
    """
    settings: dict[str, RunConfig] = {}
    for directory, rows in runs.groupby("directory") if len(runs) else ():
        wanted = set(rows["id"])
        for entry in read(str(directory)):
            if entry["id"] in wanted:
                flat = entry["config"]
                known = settings_of(flat["dataset.name"], flat["model.name"])
                with suppress(DynsweepError):  # of a dataset or a model that is not there
                    settings[entry["id"]] = from_flat(
                        {n: v for n, v in flat.items() if n in known or is_argument(n)}
                    )
    return settings


def predictor(settings: RunConfig, weights: Mapping[str, NDArray[Any]]) -> Predict:
    """A run's model with these weights, as the store has them, as a function of points
    ``(points, 2) -> (points,)``: the class at each, -1 where logits are not finite.

    Points go through the model in slices: a picture has 100,000, and a wide model holds
    gigabytes of these."""
    import torch

    dataset = data.load(settings.dataset)
    model = settings.model.build(dataset.shape, dataset.classes)
    params = model.pack({name: torch.as_tensor(v).unsqueeze(0) for name, v in weights.items()})
    dtype = next(iter(params.values())).dtype
    size = max(1, SLICE_BYTES // (model.footprint * dtype.itemsize))

    @torch.no_grad()
    def predict(points: NDArray[np.float64]) -> NDArray[np.int64]:
        # Made beforehand: small arrays that stay, among large ones that go, leave holes.
        classes = torch.empty(len(points), dtype=torch.int64)
        inputs = torch.as_tensor(points, dtype=dtype)
        for start in range(0, len(points), size):
            part = slice(start, start + size)
            logits = model.forward(params, inputs[None, part], {}, False)[0]
            classes[part] = logits.argmax(dim=-1)
            classes[part][~logits.isfinite().all(dim=-1)] = -1
        return classes.numpy()

    return predict
