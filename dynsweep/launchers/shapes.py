"""What jobs that set the same keys share, and what each of them adds to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, ListConfig, OmegaConf, StringNode
from omegaconf.errors import OmegaConfBaseException

from dynsweep.launchers.log_files import log_files
from dynsweep.launchers.nodes import (
    Dependence,
    Path,
    child,
    clone,
    copy_cache,
    leaf,
    plain_copy,
    put,
    resolved,
)
from dynsweep.launchers.singleton import hydra_config, masked

_OUTPUT_DIR: Path = ("hydra", "runtime", "output_dir")
_JOB_FIELDS: tuple[Path, ...] = (
    ("hydra", "job", "num"),
    ("hydra", "job", "id"),
    ("hydra", "job", "override_dirname"),
    ("hydra", "overrides", "task"),
)
_MARK = "/DYNSWEEP-OUTPUT-DIR"


class Composed:
    """One composed job. Its configs are made when they are asked for.

    Attributes:
        shape: what it shares with the other jobs that set the same keys.
        values: what it puts at the shape's paths.
        overrides: its task overrides, as Hydra records them.
        number: ``hydra.job.num``.
        dirname: ``hydra.job.override_dirname``.
    """

    __slots__ = ("_absolute", "_output_dir", "dirname", "number", "overrides", "shape", "values")

    def __init__(
        self, shape: Shape, values: tuple[Any, ...], overrides: Sequence[Override], number: int
    ) -> None:
        self.shape = shape
        self.values = values
        self.number = number
        task = [item for item in overrides if not item.is_hydra_override()]
        self.overrides = [str(item.input_line) for item in task]
        self.dirname = shape.base.dirname(task)
        self._output_dir: str | None = None
        self._absolute = ""

    @property
    def output_dir(self) -> str:
        """The job's directory as configured: ``hydra.sweep.dir`` and ``hydra.sweep.subdir``."""
        if self._output_dir is None:
            self._output_dir = self.shape.output_dir(self)
            self._absolute = os.path.abspath(self._output_dir)  # before any chdir
        return self._output_dir

    @property
    def absolute_dir(self) -> str:
        """The same from the root: ``hydra.runtime.output_dir``."""
        return self._absolute if self.output_dir else ""

    def settings(self) -> dict[str, Any]:
        """The task config, resolved, as nested plain dicts."""
        return self.shape.settings(self)

    def config(self) -> DictConfig:
        """The whole config, ``hydra`` included, as a launcher hands it to callbacks."""
        self.shape.point_at(self)
        config = clone(self.shape.config)
        copy_cache(self.shape.config, config)
        return config

    def task_config(self) -> DictConfig:
        """The config that the task function gets: without ``hydra``, unresolved."""
        self.shape.point_task_at(self)
        config = clone(self.shape.task)
        copy_cache(self.shape.task, config)
        return config

    def hydra_config(self) -> DictConfig:
        """``hydra`` alone, as in a job's ``JobReturn.hydra_cfg``."""
        self.shape.point_at(self)
        config = masked(self.shape.hydra)
        config.__dict__["_content"]["hydra"] = clone(self.shape.hydra, config)
        return config


class Base:
    """A config composed by Hydra for one choice of groups, before the job's other overrides."""

    def __init__(self, config: DictConfig) -> None:
        OmegaConf.set_readonly(config.hydra, True)
        self.config = config
        naming = config.hydra.job.config.override_dirname
        self._naming = (list(naming.exclude_keys), naming.item_sep, naming.kv_sep)

    def dirname(self, overrides: list[Override]) -> str:
        return get_overrides_dirname(overrides, *self._naming)


class Shape:
    """What all jobs with the same groups and the same swept keys share.

    It holds one pair of configs whose varying leaves are set to one job at a time
    (:meth:`point_at`, :meth:`point_task_at`); a job's configs are copies of them.
    """

    def __init__(
        self, master: DictConfig, base: Base, changes: list[Override], paths: Sequence[Path]
    ) -> None:
        self.base = base
        self.paths = tuple(paths)
        self.config = clone(base.config)
        ConfigLoaderImpl._apply_overrides_to_config(changes, self.config)
        self.task = clone(self.config)
        del self.task.__dict__["_content"]["hydra"]
        self.hydra = self.config.__dict__["_content"]["hydra"]
        self._master = master
        self._coerced: dict[str, Any] = {}
        self._current: Composed | None = None
        self._numbered_in: str | None = None
        self._log_files: tuple[list[str] | None] | None = None
        self._constants: dict[Path, Any] = {}
        self._plain: dict[str, Any] | None = None
        self._varying: list[tuple[Path, DictConfig]] = []
        self._leaves = [leaf(self.config, path) for path in self.paths]
        self._task_leaves = [leaf(self.task, path) for path in self.paths]
        #: whether every path leads to a plain value, which did not replace something else
        before = [child(base.config, path) for path in self.paths]
        self.fits = all(
            now is not None and (old is None or type(old) is type(now))
            for old, now in zip(before, self._leaves, strict=True)
        )

    def coerce(self, path: Path, override: Override) -> Any:
        """The value of a plain override as the config's types make it, checked by Hydra."""
        text = str(override.input_line)
        if text not in self._coerced:
            self._current = None
            change = replace(override, type=OverrideType.CHANGE)  # what was added is there now
            ConfigLoaderImpl._apply_overrides_to_config([change], self.config)
            node = leaf(self.config, path)
            assert node is not None
            self._coerced[text] = node._value()
        return self._coerced[text]

    def point_at(self, job: Composed, output_dir: str | None = None) -> None:
        """Set everything in the whole config that differs between jobs to ``job``."""
        if self._current is job and output_dir is None:
            return
        directory = output_dir or job.absolute_dir
        self._current = job if output_dir is None else None
        copy_cache(self._master, self.config)
        for node, value in zip(self._leaves, job.values, strict=True):
            put(node, value)
        job_node = child(self.hydra, ("job",))
        put(child(job_node, ("num",)), job.number)
        put(child(job_node, ("id",)), str(job.number))
        put(child(job_node, ("override_dirname",)), job.dirname)
        tasks = child(self.hydra, ("overrides", "task"))
        assert isinstance(tasks, ListConfig)
        tasks.__dict__["_content"] = [
            StringNode(text, key=index, parent=tasks, is_optional=False)
            for index, text in enumerate(job.overrides)
        ]
        put(child(self.hydra, ("runtime", "output_dir")), directory)

    def point_task_at(self, job: Composed) -> None:
        """Set the config that task functions see to ``job``."""
        copy_cache(self._master, self.task)
        for node, value in zip(self._task_leaves, job.values, strict=True):
            put(node, value)

    def output_dir(self, job: Composed) -> str:
        """See :attr:`Composed.output_dir`."""
        if self._numbered_in is None:
            self._numbered_in = self._sweep_dir_of_numbered_jobs(job)
        if self._numbered_in:
            return os.path.join(self._numbered_in, str(job.number))
        self.point_at(job, output_dir="???")
        with hydra_config(lambda: self.config):
            parts = [OmegaConf.select(self.config, f"hydra.sweep.{k}") for k in ("dir", "subdir")]
        return os.path.join(*map(str, parts))

    def _sweep_dir_of_numbered_jobs(self, job: Composed) -> str:
        """The sweep directory where jobs are simply numbered in it, "" where they are not."""
        self.point_at(job, output_dir="???")
        subdir = child(self.hydra, ("sweep", "subdir"))
        dependence = self._dependence(_OUTPUT_DIR)
        if subdir is None or subdir._value() != "${hydra.job.num}":
            return ""
        if dependence.varies(("hydra", "sweep", "dir")):
            return ""
        return str(OmegaConf.select(self.config, "hydra.sweep.dir"))

    def _dependence(self, *more: Path) -> Dependence:
        return Dependence(self.config, [*self.paths, *_JOB_FIELDS, *more])

    def hydra_setting(self, job: Composed, path: Path) -> Any:
        """A setting of ``hydra`` for one job, resolved, as a plain value."""
        if path in self._constants:
            return self._constants[path]
        self.point_at(job)
        with hydra_config(lambda: self.config):
            value = OmegaConf.select(self.config, ".".join(path))
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
        if not self._dependence(_OUTPUT_DIR).varies(path):
            self._constants[path] = value
        return value

    def log_files(self, job: Composed) -> list[str] | None:
        """The files of the job's log handlers; None if its logging is an unusual one."""
        if self._log_files is None:
            dependence = self._dependence()
            found = None
            if not any(dependence.varies(("hydra", k)) for k in ("job_logging", "verbose")):
                self.point_at(job, output_dir=_MARK)
                found = log_files(self.config)
            self._log_files = (found,)
        files = self._log_files[0]
        return files and [file.replace(_MARK, job.absolute_dir) for file in files]

    def _pointed_at(self, job: Composed) -> DictConfig:
        self.point_at(job)
        return self.config

    def settings(self, job: Composed) -> dict[str, Any]:
        """See :meth:`Composed.settings`."""
        try:
            if self._plain is None:
                self.point_task_at(job)
                self._varying = [
                    (path, child(self.task, path[:-1]))  # type: ignore[misc]
                    for path in Dependence(self.task, self.paths).varying()
                ]
                with hydra_config(lambda: self._pointed_at(job)):
                    plain: Any = OmegaConf.to_container(self.task, resolve=True)
                self._plain = plain
            settings: dict[str, Any] = plain_copy(self._plain)
            for path, value in zip(self.paths, job.values, strict=True):
                _parent(settings, path)[path[-1]] = value
            if self._varying:
                self.point_task_at(job)
                with hydra_config(lambda: self._pointed_at(job)):
                    for path, parent in self._varying:
                        _parent(settings, path)[path[-1]] = resolved(parent, path[-1])
        except OmegaConfBaseException as error:
            raise ConfigCompositionException(
                f"Could not resolve the config of job {job.number}: {' '.join(job.overrides)}"
            ) from error
        return settings


def _parent(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    for key in path[:-1]:
        settings = settings[key]
    return settings
