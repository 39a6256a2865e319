"""Which runs to show as decision regions, and what their saved weights predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynsweep.analysis.frame import SHORT
from dynsweep.analysis.select import matching, static_twin
from dynsweep.config import DATASETS, MODELS, SpiralsConfig, labels
from dynsweep.store.records import FAILED, load_weights

if TYPE_CHECKING:
    from dynsweep.data import Dataset
    from dynsweep.figures.decision_regions import Picture


def drawable(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs with saved weights of a model of the plane."""
    if "weights" not in frame:
        return frame.iloc[:0]
    plane = [name for name, kind in DATASETS.items() if issubclass(kind, SpiralsConfig)]
    return frame[
        frame["weights"].notna() & (frame["status"] != FAILED) & frame["dataset"].isin(plane)
    ]


def typical_run(runs: pd.DataFrame) -> pd.Series:
    """Of runs that differ in the seed, that with validation accuracy nearest to the mean."""
    accuracy = runs["validation_accuracy"]
    distance = (accuracy - accuracy.mean()).abs().round(9)
    nearest: pd.Series = runs.loc[distance.sort_values(kind="stable").index[0]]
    return nearest


def static_and_best(runs: pd.DataFrame, best: pd.Series, keys: list[str]) -> list[pd.Series]:
    """A typical run of the best cell, and the static run of the same seed before it."""
    of_best = runs[matching(runs, {name: best[name] for name in keys})]
    if of_best.empty:
        return []
    chosen = typical_run(of_best)
    static = static_twin(runs, chosen)
    if static.empty or chosen["amplitude"] == 1:
        return [chosen]
    same = static[static["seed"] == chosen["seed"]]
    return [typical_run(static) if same.empty else same.iloc[0], chosen]


def picture(run: pd.Series, swept: list[str]) -> Picture:
    """Everything that the drawing needs of one run; ``swept`` settings are told in its title."""
    from dynsweep.figures.decision_regions import Picture

    dataset = dataset_of(run)
    names = [n for n in swept if n not in ("period", "amplitude", "seed")]
    dynamics = "static (A = 1)"
    if run["amplitude"] != 1:
        dynamics = f"T = {labels.number(run['period'])}, A = {labels.number(run['amplitude'])}"
    told = ", ".join(
        [dynamics, *(labels.assignment(n, run[n]) for n in names), f"seed {run['seed']}"]
    )
    accuracy = (
        f"accuracy: training {run['train_accuracy']:.3f}, "
        f"validation {run['validation_accuracy']:.3f}"
    )
    return Picture(
        f"{told}\n{accuracy}",
        predictor(run, dataset.shape, dataset.classes),
        dataset.train_inputs,
        dataset.train_labels,
    )


def predictor(
    run: pd.Series, shape: tuple[int, ...], classes: int
) -> Callable[[NDArray[np.float64]], NDArray[np.int64]]:
    """The trained model of a run as a function of points; -1 where logits are not finite."""
    saved = load_weights(run["directory"], run["weights"], run["id"])
    return predictor_of(run, saved, shape, classes)


def predictor_of(
    run: pd.Series, weights: Mapping[str, NDArray[Any]], shape: tuple[int, ...], classes: int
) -> Callable[[NDArray[np.float64]], NDArray[np.int64]]:
    """The run's model with any weights of it, as :func:`predictor` gives that of its end."""
    import torch

    from dynsweep import models

    model = models.build(_part(MODELS, "model", run), shape, classes)
    params = model.pack({name: torch.as_tensor(v).unsqueeze(0) for name, v in weights.items()})
    dtype = next(iter(params.values())).dtype

    @torch.no_grad()
    def predict(points: NDArray[np.float64]) -> NDArray[np.int64]:
        logits = model.forward(params, torch.as_tensor(points, dtype=dtype)[None], {}, False)[0]
        found = logits.argmax(dim=-1)
        found[~logits.isfinite().all(dim=-1)] = -1
        return found.numpy()

    return predict


def dataset_of(run: pd.Series) -> Dataset:
    """The data that a run was trained on."""
    from dynsweep import data

    return data.load(_part(DATASETS, "dataset", run))


def _part(known: Mapping[str, type], group: str, run: pd.Series) -> Any:
    """The typed config of one group, from the columns of a run."""
    kind = known[run[group]]
    defaults = vars(kind())
    values = {}
    for name, default in defaults.items():
        column = SHORT.get(f"{group}.{name}", f"{group}.{name}")
        value = run.get(column)
        if value is not None and value == value:
            # A column that other runs lack holds whole numbers as floats.
            values[name] = value if default is None else type(default)(value)
    return kind(**values)
