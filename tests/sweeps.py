"""Sweep directories with made-up but plausible records, written by the real store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from runs import make_run

from dynsweep.config import RunConfig, flatten
from dynsweep.store import COMPLETED, DIVERGED, FAILED, Record, Store

SHARED = {"engine": "reference", "device": "cpu"}
PERIODS, AMPLITUDES = [10, 30, 100, 300, 1000], [1, 3, 10, 40]


def accuracy(run: RunConfig) -> float:
    """Near 0.5 for the static loss whatever the period, up to 0.99 on a ridge of others."""
    period, amplitude = run.loss.period, run.loss.amplitude
    if amplitude == 1:
        return 0.5 + 0.02 * np.random.default_rng(run.seed).random()
    noise = np.random.default_rng([period, int(amplitude), run.model.width, run.seed])
    ridge = np.exp(-((np.log10(period / 200)) ** 2) - np.log10(amplitude / 20) ** 2)
    return float(min(0.5 + 0.5 * ridge, 0.98) - 0.05 * noise.random())


def record(number: int, status: str = COMPLETED, **settings: Any) -> Record:
    run = make_run(**settings)
    value = accuracy(run)
    metrics = {
        "train_accuracy": round(value * 300) / 300,
        "validation_accuracy": round(value * 0.94 * 300) / 300,
        "train_loss": 1.1 - value,
        "validation_loss": 1.2 - value,
    }
    if status == DIVERGED:
        metrics |= {"train_accuracy": 0.0, "validation_accuracy": 0.0}
        metrics |= {"train_loss": float("nan"), "validation_loss": float("inf")}
    return Record(
        run.identity(),
        number,
        [f"{name}={value}" for name, value in settings.items()],
        flatten(run),
        status,
        {} if status == FAILED else metrics,
        0.25,
        "RuntimeError: no room" if status == FAILED else None,
    )


def write(directory: Path, records: list[Record]) -> Path:
    """The records in batches of 50."""
    store = Store(directory)
    for start in range(0, len(records), 50):
        store.append(records[start : start + 50], SHARED)
    store.close()
    return directory


def sweep(
    directory: Path,
    axes: dict[str, Iterable[Any]],
    status: Callable[[dict[str, Any]], str | None] = lambda point: COMPLETED,
    **fixed: Any,
) -> Path:
    """A grid; no record of a point where ``status`` is None."""
    records = []
    for number, values in enumerate(itertools.product(*axes.values())):
        point = {**fixed, **dict(zip(axes, values, strict=True))}
        if (ended := status(point)) is not None:
            records.append(record(number, ended, **point))
    return write(directory, records)


def plane(directory: Path, seeds: int = 3, **fixed: Any) -> Path:
    """Period by amplitude by seed."""
    axes = {"period": PERIODS, "amplitude": AMPLITUDES, "seed": range(seeds)}
    return sweep(directory, axes, **fixed)
