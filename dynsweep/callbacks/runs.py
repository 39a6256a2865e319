"""What trackers log: each run of a sweep once, out of the records in the sweep directory."""

import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
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
from dynsweep.callbacks.patience import within
from dynsweep.config import Run, typed
from dynsweep.config.intent import meant
from dynsweep.engines.batches import total_steps
from dynsweep.errors import ConfigError
from dynsweep.store import METRICS, Damaged, SweepPaths, latest
from dynsweep.store.arrays import inside, load_trajectory
from dynsweep.store.damage import left_out

log = logging.getLogger(__name__)

MOST = 200  # characters of a client's error
# Seconds that this process has waited for a tracker in vain, by its name.
_spent: dict[str, float] = defaultdict(float)
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

    A tracker never costs a result, nor changes an exit status: what it raises is told in one line
    at the end, and what it has not got is logged when the same command is given again.

    Args:
        name: of the package, the extra and the file in ``conf/callbacks``.
        title: the tracker's own name.
        patience: seconds that are waited for it in all.
    """

    def __init__(self, name: str, title: str, patience: float) -> None:
        if find_spec(name) is None:
            # Before anything is trained; later, Hydra would only warn.
            raise ConfigError("callbacks", name, f"needs pip install 'dynsweep[{name}]'")
        self.name, self.title, self.patience = name, title, patience
        self.process, self.told, self.unsent, self.reason = os.getpid(), 0, 0, ""
        _spent[name] = 0

    def refuse_without(self, setting: str, value: object, ask: Callable[[], object]) -> None:
        """Raise :class:`ConfigError` if ``ask`` raises or takes longer than the patience."""
        try:
            within(self.patience, ask)
        except Exception as error:
            shown = re.sub("//[^/@]*@", "//", str(value))  # without a password
            raise ConfigError(
                f"hydra.callbacks.{self.name}.{setting}",
                shown,
                f"{self.title} cannot be reached ({_reason(error)}); without "
                f"+callbacks={self.name} the runs are trained, and with it sent later",
            ) from None

    def on_job_start(self, config: DictConfig, *, task_function: Any, **kwargs: Any) -> None:
        _records.cache_clear()
        if os.getpid() == self.process and self.ending not in task_function.endings:
            task_function.endings.append(self.ending)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        self.told += 1
        if _spent[self.name] >= self.patience:
            self.unsent += 1
            return
        start = time.monotonic()
        try:
            self.log(_logged(config, job_return))
        except Exception as error:
            _spent[self.name] += time.monotonic() - start
            self.unsent += 1
            self.reason = self.reason or _reason(error)
            if os.getpid() != self.process:  # nobody sees this object again
                log.warning("A run is not in %s: %s", self.title, self.reason)

    def ending(self) -> str:
        """What to know of this tracker at the end of the command; empty if it has all runs."""
        if not self.unsent:
            return ""
        return f"{self.unsent} of {self.told} runs are not in {self.title}: {self.reason}"

    def log(self, run: Logged) -> None:
        raise NotImplementedError


def _reason(error: Exception) -> str:
    """The system's words for it, which clients wrap in all that they went through; or its own."""
    if found := re.search(r"\[Errno -?\d+\] ([^'\")\]]+)", str(error)):
        return found[1]
    text = str(error).strip().partition("\n")[0]
    return text[:MOST] or type(error).__name__


def _logged(config: DictConfig, job_return: JobReturn) -> Logged:
    """The run of a job, out of the store."""
    hydra = config.hydra
    multirun = hydra.mode == RunMode.MULTIRUN
    directory = Path(hydra.sweep.dir if multirun else hydra.runtime.output_dir)
    assert job_return.cfg is not None
    words = list(hydra.overrides.task)
    run = meant(Run(0, words, typed(job_return.cfg)), multirun).settings
    record = _records(directory).get(run.identity())
    if record is None:
        raise LookupError("not trained yet")
    settings = {
        name: str(value) if isinstance(value, list) else value
        for name, value in record["config"].items()
        if name.partition(".")[0] in DECIDING and value not in (None, [])
    }
    for group in ("dataset", "model"):
        if title := settings.get(f"{group}.title"):  # what somebody brought goes by its own name
            settings[f"{group}.name"] = title
    words = [text for text in record["overrides"] if re.split("[.=]", text)[0] in DECIDING]
    steps = total_steps(run)
    curves: dict[str, dict[int, float]] = {}
    if "trajectory" in record:
        table = _trajectories(inside(SweepPaths(directory).trajectories, record["trajectory"]))
        points = [name for name in table if str(name).startswith("profile_")]  # no curves in time
        own = table[table["id"] == record["id"]].drop(columns=["id", *points]).set_index("step")
        for quantity, values in own.replace([np.inf, -np.inf], np.nan).items():
            curves[str(quantity)] = values.dropna().to_dict()
    for name in METRICS:
        if record.get(name) is not None:
            curves.setdefault(name, {})[steps] = record[name]
    return Logged(directory, words, record, settings, steps, curves)
