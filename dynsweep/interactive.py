"""Sweeps and single runs called from Python: in scripts and notebooks."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import VersionBase
from omegaconf.errors import OmegaConfBaseException

from dynsweep.api import load, load_snapshots, load_trajectory, load_weights
from dynsweep.cli.aggregate import aggregate
from dynsweep.cli.hydra_errors import one_line
from dynsweep.config import SETTINGS, Run, register_schemas, replaced, typed
from dynsweep.config.intent import meant
from dynsweep.config.schemas import GROUPS
from dynsweep.config.words import understood, unknown
from dynsweep.errors import ConfigError, RunFailed, SweepFailed
from dynsweep.launchers import register
from dynsweep.launchers.compose import without_hydra
from dynsweep.launchers.grid import NO_POINTS, WORD
from dynsweep.own import along, is_argument
from dynsweep.store import FAILED, SweepPaths
from dynsweep.sweep.runner import run_sweep
from dynsweep.sweep.signals import SIGNALS
from dynsweep.sweep.task import Task
from dynsweep.sweep.teams import check

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORT = {one.column: name for name, one in SETTINGS.items()} | {name: name for name in GROUPS}
FILES = ["sweep", "weights", "snapshots", "trajectory"]


class Trained(NamedTuple):
    """What :func:`train` returns.

    Attributes:
        outcome: a row as :func:`dynsweep.load` gives them: settings, ``status``, accuracies
            between 0 and 1, losses, ``seconds``.
        weights: final ones by name, such as ``w1`` of shape ``(inputs, width)``.
        trajectory: what ``observe=...`` asked for, a row per recorded step; empty if nothing.
        snapshots: weights by step, where ``observe.snapshots_every`` asked for them.
    """

    outcome: pd.Series
    weights: dict[str, NDArray[Any]]
    trajectory: pd.DataFrame
    snapshots: dict[int, dict[str, NDArray[Any]]]


def sweep(
    *overrides: str,
    directory: str | PathLike[str] | None = None,
    config_dir: str | PathLike[str] | None = None,
    figures: bool = False,
    **settings: Any,
) -> pd.DataFrame:
    """Train a grid as ``dynsweep -m`` does, and return its runs.

    ``sweep("period_amplitude", "loss.period=10,100", seed=range(3), directory="out")`` is
    ``dynsweep +sweep=period_amplitude loss.period=10,100 seed=0,1,2 hydra.sweep.dir=out``. What
    the directory holds already is not trained again. Ctrl-C saves the batch in flight and raises
    ``KeyboardInterrupt``; the same call goes on from there.

    Args:
        overrides: as on the command line; a word alone is a preset of ``+sweep=``.
        directory: where runs are recorded, with ``results.csv`` and ``cells.csv``; by default
            that of the command, with the time in its name.
        config_dir: a folder with configs and code of your own, see docs/extending.md.
        figures: whether to draw the figures and the page there too, which takes seconds.
        settings: by their short names (``period`` in steps, ``amplitude``, ``lr``, ``width``,
            ``seed``), or in full with ``__`` for the dots (``loss__shape``); several values in a
            list, a range or an array are an axis of the grid.

    Returns:
        All runs that the directory then holds, as :func:`dynsweep.load` gives them. Some may have
        failed: a warning says so.

    Raises:
        ConfigError: a setting that there is none of, or a value that is not allowed; then nothing
            was trained. It is a ``ValueError``.
    """
    words = _words("sweep", overrides, settings, config_dir)
    if directory is not None:
        words.append(f"hydra.sweep.dir={_value(fspath(directory))}")
    task = Task()
    with _hydra(words) as state, SIGNALS.lent():
        try:
            state.multirun("config", task, words, with_log_configuration=False)
        except SweepFailed as error:
            warnings.warn(str(error), stacklevel=4)
        for ending in task.endings:
            if warning := ending():
                warnings.warn(warning, stacklevel=4)
        if not task.directories or not SweepPaths(task.directories[0]).records():
            return pd.DataFrame()  # a plan was told (dry_run)
        place = task.directories[0]
        numbers = {run.settings.identity(): run.number for run in task.runs}
        aggregate([place], figures=figures, html=figures, numbers=numbers)
        return load(place)


def train(
    *overrides: str, config_dir: str | PathLike[str] | None = None, **settings: Any
) -> Trained:
    """Train one run, record nothing, and return all of it.

    ``train(period=500, amplitude=20, seed=1, observe="metrics")``; arguments and errors are those
    of :func:`sweep`, but for several values; a word alone is one of ``+experiment=``.

    Raises:
        ConfigError: as of :func:`sweep`.
        RunFailed: training raised; the text is its error.

    >>> trained = train(width=16, steps=10)
    >>> trained.outcome["status"], trained.weights["w1"].shape
    ('completed', (2, 16))
    """
    words = _words("experiment", overrides, settings, config_dir)
    with _hydra(words) as state:
        config = state.compose_config("config", words, run_mode=RunMode.RUN)
        if config.hydra.mode == RunMode.MULTIRUN:
            raise ConfigError("train()", " ".join(words), "is a grid; take sweep()")
        along(config.hydra.runtime.config_sources)
        run = meant(Run(0, words, typed(without_hydra(config))))
    run = Run(0, words, replaced(run.settings, {"save_weights": True}))
    if unfit := check([run]):
        raise unfit[0]
    with tempfile.TemporaryDirectory(prefix="dynsweep-") as place, SIGNALS.lent():
        with SIGNALS.patiently():
            run_sweep([run], place, stop=SIGNALS.stop)
        (row,) = (one for _, one in load(place).iterrows())
        if row["status"] == FAILED:
            raise RunFailed(row["error"])
        observed = pd.notna(row["trajectory"])
        return Trained(
            row.drop(FILES),
            load_weights(row),
            load_trajectory(row) if observed else pd.DataFrame(),
            load_snapshots(row) if pd.notna(row["snapshots"]) else {},
        )


@contextmanager
def _hydra(words: Sequence[str]) -> Iterator[Any]:
    """Hydra with our plugins; what it changes in this interpreter is undone, and its errors are
    :class:`ConfigError`."""
    register()
    register_schemas()
    root, of_job = logging.getLogger(), HydraConfig.instance().cfg
    theirs = GlobalHydra.instance().hydra  # of a program that has configs of its own
    GlobalHydra.instance().clear()
    handlers, level = root.handlers[:], root.level
    base = VersionBase.instance()  # a process has one; it decides how other apps' jobs run
    before = base.getbase()
    try:
        with initialize_config_module("dynsweep.conf", version_base="1.3"):
            yield GlobalHydra.instance().hydra
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):  # of a callback that Hydra could not make
            raise cause from None
        text = one_line(error, list(words)).replace("add -m to sweep", "take sweep() to go")
        setting, _, rest = text.partition("=")
        value, _, allowed = rest.partition(": ")
        if not allowed:  # of no setting
            setting, value, allowed = "dynsweep", " ".join(words), text
        raise ConfigError(setting, value, allowed) from None
    finally:
        HydraConfig.instance().cfg = of_job
        GlobalHydra.instance().hydra = theirs
        base.version_base = before
        root.handlers[:] = handlers
        root.setLevel(level)


def _words(
    preset: str,
    overrides: Sequence[str],
    settings: dict[str, Any],
    config_dir: str | PathLike[str] | None,
) -> list[str]:
    """The words of the command line."""
    words = []
    if config_dir is not None:
        place = Path(config_dir).absolute()
        if not place.is_dir():
            raise ConfigError("config_dir", config_dir, "no such directory")
        words.append(f"hydra.searchpath=[{_value(f'file://{place}')}]")
    for word in overrides:
        if not isinstance(word, str):
            raise ConfigError("overrides", repr(word), "must be text, as on the command line")
        words.append(word if "=" in word or word.startswith("~") else f"+{preset}={word}")
    for name, value in settings.items():
        full = SHORT.get(name, name.replace("__", "."))
        if full not in SETTINGS and full not in GROUPS and not is_argument(full):
            raise ConfigError(name, value, unknown(full))
        words.append(f"{full}={_axis(full, value)}")
    return understood(words)


def _axis(name: str, value: Any) -> str:
    if isinstance(value, pd.Series | np.ndarray):
        value = value.tolist()
    one = SETTINGS.get(name)
    if one is not None and isinstance(one.default, tuple):  # a list is one value
        several = isinstance(value, list | tuple) and any(
            isinstance(v, list | tuple) for v in value
        )
        values = list(value) if several else [value]
    else:
        values = list(value) if isinstance(value, list | tuple | range | set) else [value]
    if not values:
        raise ConfigError(name, value, NO_POINTS)
    return ",".join(map(_value, values))


def _value(value: Any) -> str:
    """A value in Hydra's words."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, PathLike):
        value = fspath(value)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    text = str(value)
    return text if WORD.fullmatch(text) else json.dumps(text, ensure_ascii=False)
