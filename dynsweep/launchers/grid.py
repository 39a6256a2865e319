"""The grid of a command: the jobs of its axes, and its runs when it is looked at again."""

import itertools
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dynsweep.config import SETTINGS, Run, flatten, register_schemas, typed
from dynsweep.config.intent import meant_all
from dynsweep.config.words import understood
from dynsweep.errors import ConfigError, DynsweepError
from dynsweep.launchers.compose import Composer
from dynsweep.launchers.private import basic_sweeper
from dynsweep.store.command import config_dirs, recorded
from dynsweep.sweep.progress import QUICK

log = logging.getLogger(__name__)

JOB_BYTES = 2000  # of memory that a run of a grid takes, about
MOST_VALUES = 10**7  # of one axis that are counted
NO_POINTS = "a grid with no points; give at least one value"
WORD = re.compile(r"(?!(true|false|null|nan|inf|None|True|False)$)[A-Za-z_/][\w./\-]*")
SWEEPERS = ("FusedSweeper", "BasicSweeper")  # those whose jobs follow from the command alone


def jobs(
    params: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader
) -> list[list[str]]:
    """The overrides of each job: the product of the axes of a sweeper's ``params`` and of the
    command line, a later one of a setting in the place of an earlier one.

    Raises:
        ConfigError: an axis without values, or several presets.
        DynsweepError: more jobs than memory has room for.
    """
    axes = understood([_axis(name, value) for name, value in params.items()])
    overrides = OverridesParser.create(loader).parse_overrides([*axes, *arguments])
    for one in overrides:
        if one.is_discrete_sweep() and next(iter(one.sweep_string_iterator()), None) is None:
            text = str(one.input_line).partition("=")[2]
            raise ConfigError(one.get_key_element(), text, NO_POINTS)
        if one.get_key_element() == "+sweep" and one.is_sweep_override():
            text = str(one.input_line).partition("=")[2]
            allowed = "one preset at a time: a preset has a grid of its own"
            raise ConfigError("+sweep", text, allowed)
    log.info("Checking %s jobs", f"{_count(overrides):,}")
    (split,) = basic_sweeper.BasicSweeper.split_arguments(overrides, None)
    return [list(job) for job in split]


def _count(overrides: Sequence[Override]) -> int:
    """How many jobs a grid has; refused where they would not fit the memory.

    Raises:
        DynsweepError: with the number of those that fit.
    """
    counts: dict[str, int] = {}
    for one in overrides:  # a later one of a key takes the place of an earlier one
        values = one.sweep_string_iterator() if one.is_discrete_sweep() else ("",)
        counts[one.get_key_element()] = sum(1 for _ in itertools.islice(values, MOST_VALUES))
    count = math.prod(counts.values())
    if count > QUICK:
        from dynsweep.engines.devices import available_memory

        more = " or more" if MOST_VALUES in counts.values() else ""
        fitting = available_memory("cpu") // 2 // JOB_BYTES
        if count > fitting:
            raise DynsweepError(
                f"a grid of {count:,} runs{more}: at most {fitting:,} fit the free memory; "
                "take fewer values, or a part of them at a time"
            )
    return count


def recorded_grid(directory: Path) -> list[Run] | None:
    """The runs of the command that Hydra recorded in a directory last, composed again; ``None``
    where nothing is recorded, or a sweeper decides as it goes.

    Raises:
        DynsweepError, HydraException, OmegaConfBaseException: this version cannot compose them.
    """
    config = recorded(directory)
    if config is None:
        return None
    if not config["multirun"]:
        job = OmegaConf.load(directory / ".hydra" / "config.yaml")
        assert isinstance(job, DictConfig)
        return meant_all([Run(0, config["overrides"]["task"], typed(job))])
    if config["sweeper"]["_target_"].rpartition(".")[2] not in SWEEPERS:
        return None
    register_schemas()
    with initialize_config_module("dynsweep.conf", version_base="1.3"):
        state = GlobalHydra.instance().hydra
        assert state is not None
        folders = [f"hydra.searchpath=[file://{path}]" for path in config_dirs(config)]
        words = [*config["words"], *folders]
        master = state.compose_config("config", words, run_mode=RunMode.MULTIRUN)
        composer = Composer(state.config_loader, master)
        params = flatten(config["sweeper"].get("params") or {})
        tasks = jobs(params, config["overrides"]["task"], state.config_loader)
        return meant_all(list(itertools.starmap(composer.run, enumerate(tasks))))


def _axis(name: str, value: Any) -> str:
    """An entry of ``sweeper.params`` as on the command line: a string is taken as it is, a list is
    the values of an axis. (Hydra's basic sweeper makes one job of a list.)"""
    if isinstance(value, str):
        return f"{name}={value}"
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ConfigError(name, values, NO_POINTS)
    if (setting := SETTINGS.get(name)) and setting.whole:  # YAML's 1e3 is a float
        values = [int(one) if type(one) is float and one.is_integer() else one for one in values]
    bare = [one if WORD.fullmatch(str(one)) else json.dumps(one) for one in values]
    return f"{name}={','.join(map(str, bare))}"
