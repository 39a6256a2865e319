"""Typed runs for the tests, from settings by any of their names."""

from __future__ import annotations

from typing import Any

from dynsweep.config import RunConfig, from_flat
from dynsweep.config.run import settings_of


def make_run(dataset: str = "spirals", model: str = "mlp", **settings: Any) -> RunConfig:
    """A checked run with these settings, named without their groups, such as ``period=100``.

    ``data_seed`` is the dataset's, ``name__of__a__setting`` a dotted name, and ``schedule`` the
    whole group.
    """
    dotted = settings_of(dataset, model)
    names = {name.rpartition(".")[2]: name for name in reversed(dotted)} | {
        name: name for name in dotted if "." not in name
    }
    names |= {"data_seed": "dataset.seed", "schedule": "optimizer.schedule"}
    values = {names.get(name, name.replace("__", ".")): value for name, value in settings.items()}
    for name, value in values.items():
        if name in dotted and isinstance(dotted[name].default, float):
            values[name] = float(value)
    run = from_flat({"dataset.name": dataset, "model.name": model, **values})
    run.check()
    return run
