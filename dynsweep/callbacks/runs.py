"""What trackers log: each run of a sweep once, out of the records in the sweep directory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from dynsweep.analysis.columns import DECIDING
from dynsweep.config import typed
from dynsweep.engines.batches import total_steps
from dynsweep.errors import ConfigError
from dynsweep.store import METRICS, Damaged, SweepPaths, latest
from dynsweep.store.arrays import inside, load_trajectory
from dynsweep.store.damage import left_out

_records = lru_cache(maxsize=1)(latest)  # kept while the jobs of one sweep end


@lru_cache(maxsize=1)
def _trajectories(path: Path) -> pd.DataFrame:
    try:
        return load_trajectory(path)
    except Damaged as error:
        left_out(error, "no trajectories of the runs of one batch")
        return pd.DataFrame(columns=["id", "step"])


@dataclass(frozen=True)
class Logged:
    """One run.

    Attributes:
        directory: of the sweep.
        words: the overrides that decide the result, as typed.
        record: as the store has it, see :func:`dynsweep.store.read`.
        settings: those that decide the result, by dotted name; without empty ones.
        steps: length of the training.
        curves: values by step of each quantity: the trajectory, if one was recorded, and at the
            last step the four final metrics. Only finite values.
    """

    directory: Path
    words: list[str]
    record: Mapping[str, Any]
    settings: dict[str, Any]
    steps: int
    curves: dict[str, dict[int, float]]


class Tracker(Callback):
    """Base of the callbacks. A subclass logs one run in :meth:`log`, and at most once: resuming
    a sweep tells of its old runs again.

    Hydra tells of the end of a multirun only where no job failed, so runs are logged as their
    jobs end; with the fused launcher that is after all of them. No connection is kept: other
    launchers send callbacks to other processes.
    """

    def __init__(self, name: str) -> None:
        if find_spec(name) is None:
            # Before anything is trained; later, Hydra would only warn.
            raise ConfigError("callbacks", name, f"needs pip install 'dynsweep[{name}]'")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        _records.cache_clear()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        hydra = config.hydra
        multirun = hydra.mode == RunMode.MULTIRUN
        directory = Path(hydra.sweep.dir if multirun else hydra.runtime.output_dir)
        assert job_return.cfg is not None
        run = typed(job_return.cfg)
        record = _records(directory).get(run.identity())
        if record is None:
            raise LookupError(f"no record of {' '.join(hydra.overrides.task)}")
        settings = {
            name: str(value) if isinstance(value, list) else value
            for name, value in record["config"].items()
            if name.partition(".")[0] in DECIDING and value not in (None, [])
        }
        words = [text for text in record["overrides"] if re.split("[.=]", text)[0] in DECIDING]
        steps = total_steps(run)
        curves: dict[str, dict[int, float]] = {}
        if "trajectory" in record:
            table = _trajectories(inside(SweepPaths(directory).trajectories, record["trajectory"]))
            own = table[table["id"] == record["id"]].drop(columns="id").set_index("step")
            for quantity, values in own.replace([np.inf, -np.inf], np.nan).items():
                curves[str(quantity)] = values.dropna().to_dict()
        for name in METRICS:
            if record.get(name) is not None:
                curves.setdefault(name, {})[steps] = record[name]
        self.log(Logged(directory, words, record, settings, steps, curves))

    def log(self, run: Logged) -> None:
        raise NotImplementedError
