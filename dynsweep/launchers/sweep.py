"""How the fused sweeper works: the grid, its check as a whole, and the launches."""

from __future__ import annotations

import itertools
import logging
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from dynsweep.errors import ConfigError
from dynsweep.launchers.compose import Composer
from dynsweep.launchers.jobs import FusibleTask, Job
from dynsweep.launchers.returns import raise_failures

log = logging.getLogger(__name__)

_BARE = re.compile(r"[A-Za-z_/][\w./\-]*")
_NO_POINTS = "a grid with no points; give at least one value"
_NOT_STRINGS = {"true", "false", "null", "nan", "inf"}


class Sweep:
    """The fused sweeper's work, for one multirun."""

    def __init__(
        self, context: HydraContext, task: TaskFunction, config: DictConfig, launcher: Launcher
    ) -> None:
        self.context = context
        self.task = task
        self.config = config
        self.launcher = launcher

    def run(
        self, arguments: Sequence[str], params: Mapping[str, Any], max_batch_size: int | None
    ) -> list[Sequence[JobReturn]]:
        """Check all jobs, launch them, and raise ``SweepFailed`` at the end if any failed."""
        texts = [f"{key}={_as_override(key, value)}" for key, value in _flat(params)]
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        jobs = grid(parser.parse_overrides([*texts, *arguments]))
        started = time.perf_counter()
        self._check(jobs)
        log.debug("Composed %d jobs in %.2f s", len(jobs), time.perf_counter() - started)

        directory = Path(self.config.hydra.sweep.dir)
        directory.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, directory / "multirun.yaml")

        size = len(jobs) if max_batch_size in (None, -1) else max_batch_size
        assert size is not None
        if size < 1:
            raise ConfigError("hydra.sweeper.max_batch_size", size, "must be at least 1, or null")
        returns = [
            self.launcher.launch(jobs[first : first + size], initial_job_idx=first)
            for first in range(0, len(jobs), size)
        ]
        raise_failures([job for batch in returns for job in batch])
        return returns

    def _check(self, jobs: list[list[str]]) -> None:
        """Compose every job as Hydra would; let the task look at them before any is run."""
        work = getattr(self.launcher, "work", None)
        composer = getattr(work, "composer", None)
        if composer is None:
            composer = Composer(self.context.config_loader, self.config)  # type: ignore[arg-type]
        composed = [composer.compose(overrides, number) for number, overrides in enumerate(jobs)]
        if isinstance(self.task, FusibleTask):
            handed = [Job(job.number, job.overrides, job.settings()) for job in composed]
            # Stock launchers cannot be asked; one for Slurm has it in its name.
            here = getattr(self.launcher, "here", "Slurm" not in type(self.launcher).__name__)
            self.task.check_jobs(handed, self.config, here)


def grid(overrides: Sequence[Override]) -> list[list[str]]:
    """The overrides of every job: the product of all axes, the last one fastest.

    A later override of a key replaces an earlier one, in its place.

    Raises:
        ConfigError: if an axis has no values.
        HydraException: for ranges of real numbers, which only optimising sweepers can search.
    """
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            axes[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
            if not axes[key]:
                text = str(override.input_line).partition("=")[2]
                raise ConfigError(key, text, _NO_POINTS)
        else:
            assert override.value_type is not None
            raise HydraException(
                f"FusedSweeper does not support sweep type : {override.value_type.name}"
            )
    return [list(job) for job in itertools.product(*axes.values())]


def _flat(params: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """``sweeper.params`` with nested mappings as dotted names."""
    flat: list[tuple[str, Any]] = []
    for key, value in params.items():
        if isinstance(value, (DictConfig, dict)):
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _as_override(key: str, value: Any) -> str:
    """A value of ``sweeper.params`` as on the command line: a string is taken as it is, a list
    is the values of an axis. (Hydra's basic sweeper makes one job of a list.)"""
    if isinstance(value, str):
        return value
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True)
    if value == []:
        raise ConfigError(key, value, _NO_POINTS)
    return ",".join(map(_element, value)) if isinstance(value, list) else _element(value)


def _element(value: Any) -> str:
    return Override._get_value_element_as_str(_quoted(value))


def _quoted(value: Any) -> Any:
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, str) and not (_BARE.fullmatch(value) and value not in _NOT_STRINGS):
        return QuotedString(text=value, quote=Quote.single)
    return value
