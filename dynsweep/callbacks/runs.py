"""What trackers log: each run of a sweep once, out of the records in the sweep directory."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dynsweep.errors import ConfigError


@dataclass(frozen=True)
class Logged:
    """One run.

    Attributes:
        directory: of the sweep.
        words: the overrides that decide the result, as typed.
        record: as the store has it, see :mod:`dynsweep.store.records`.
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

    def __init__(self, name: str, module: str) -> None:
        if find_spec(module) is None:
            # Before anything is trained; later, Hydra would only warn.
            raise ConfigError("callbacks", name, f"needs pip install 'dynsweep[{name}]'")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        _records.cache_clear()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        from dynsweep.config import SCIENCE, run_config
        from dynsweep.engines.batches import total_steps
        from dynsweep.store.records import METRICS

        hydra = config.hydra
        multirun = hydra.mode == RunMode.MULTIRUN
        directory = Path(hydra.sweep.dir if multirun else hydra.runtime.output_dir)
        settings = OmegaConf.to_container(job_return.cfg, resolve=True)
        run = run_config(cast(dict[str, Any], settings))
        record = _records(directory).get(run.identity())
        if record is None:
            raise LookupError(f"no record of {' '.join(hydra.overrides.task)}")
        flat = {
            name: str(value) if isinstance(value, list) else value
            for name, value in record["config"].items()
            if name.partition(".")[0] in SCIENCE and value not in (None, [])
        }
        words = [text for text in record["overrides"] if re.split("[.=]", text)[0] in SCIENCE]
        steps, curves = total_steps(run), dict(_curves(directory, record))
        for name in METRICS:
            if record.get(name) is not None:
                curves.setdefault(name, {})[steps] = record[name]
        self.log(Logged(directory, words, record, flat, steps, curves))

    def log(self, run: Logged) -> None:
        raise NotImplementedError


@lru_cache(maxsize=1)
def _records(directory: Path) -> dict[str, dict[str, Any]]:
    """The records by run, kept while the jobs of one sweep end."""
    from dynsweep.store.records import latest

    return latest(directory)


def _curves(directory: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, dict[int, float]]]:
    if "trajectory" not in record:
        return
    frame = _trajectories(directory / "trajectories" / record["trajectory"])
    rows = frame[frame["id"] == record["id"]]
    for name in rows.columns.drop(["id", "step"]):
        pairs = zip(rows["step"].tolist(), rows[name].tolist(), strict=True)
        yield str(name), {step: value for step, value in pairs if math.isfinite(value)}


@lru_cache(maxsize=1)
def _trajectories(path: Path) -> Any:
    import pandas as pd

    return pd.read_csv(path)
