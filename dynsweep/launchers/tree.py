"""The ``.hydra`` folder of each job, byte for byte as Hydra writes it, without its YAML dumps.

Dumping the three files takes 6 ms per job. Here each is dumped once per shape with marks in the
place of what differs between jobs, and joined from the pieces per job. A value is dumped once,
below the same keys, so that quoting and line breaks are those of the whole file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_omega_conf_dumper, is_float, is_int, yaml_is_bool

from dynsweep.launchers.nodes import Path
from dynsweep.launchers.shapes import Composed, Shape

_NUM: Path = ("hydra", "job", "num")
_ID: Path = ("hydra", "job", "id")
_DIRNAME: Path = ("hydra", "job", "override_dirname")
_TASK: Path = ("hydra", "overrides", "task")
_OUTPUT_DIR: Path = ("hydra", "runtime", "output_dir")
_HYDRA_FIELDS = (_NUM, _ID, _DIRNAME, _TASK, _OUTPUT_DIR)

# Strings that YAML writes as they are wherever they stand: no blanks, so no line breaks.
_BARE = re.compile(r"[A-Za-z/][\w./=,+\-]*", re.ASCII)


def _dump(value: Any) -> str:
    text: str = yaml.dump(
        value,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        Dumper=get_omega_conf_dumper(),
    )
    return text


def _mark(number: int) -> str:
    return f"DYNSWEEP-MARK-{number}-"


def _nested(path: Path, value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def _header(path: Path) -> str:
    return _dump(_nested(path, _mark(0))).removesuffix(f" {_mark(0)}\n")


def _render(path: Path, value: Any) -> str:
    """What a dump has after the key at ``path``, from its colon to the end of the line(s)."""
    if (
        type(value) is str
        and _BARE.fullmatch(value)
        and not (yaml_is_bool(value) or is_int(value) or is_float(value) or _is_null(value))
    ):
        return f" {value}\n"
    return _dump(_nested(path, value)).removeprefix(_header(path))


def _is_null(text: str) -> bool:
    return text in ("null", "Null", "NULL")


@lru_cache(maxsize=65536)
def _cached_render(path: Path, kind: str, value: Any) -> str:
    # The type is part of the key: 1, 1.0 and True are equal but written differently.
    return _render(path, value)


@lru_cache(maxsize=65536)
def _list_item(path: Path, text: str) -> str:
    if not path:
        return _dump([text])
    return _render(path, [text]).removeprefix("\n")


def _list(path: Path, items: Sequence[str]) -> str:
    if not items:
        return _render(path, []) if path else _dump([])
    return ("\n" if path else "") + "".join([_list_item(path, text) for text in items])


class _Template:
    """A YAML dump with gaps at some paths."""

    def __init__(self, container: dict[str, Any], paths: Sequence[Path]) -> None:
        for number, path in enumerate(paths):
            node = container
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = _mark(number)
        text = _dump(container)
        places = sorted(range(len(paths)), key=lambda n: text.index(f" {_mark(n)}\n"))
        self.order = places
        self.pieces = []
        for number in places:
            piece, text = text.split(f" {_mark(number)}\n", 1)
            self.pieces.append(piece)
        self.rest = text

    def fill(self, values: Sequence[str]) -> str:
        parts: list[str] = []
        for piece, number in zip(self.pieces, self.order, strict=True):
            parts += (piece, values[number])
        return "".join(parts) + self.rest


def _container(config: Any) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=False, enum_to_str=True)  # type: ignore[return-value]


class TreeWriter:
    """Writes the folders of jobs; keeps the templates between calls."""

    def __init__(self) -> None:
        self._configs: WeakKeyDictionary[Shape, _Template] = WeakKeyDictionary()
        self._hydras: WeakKeyDictionary[Any, _Template] = WeakKeyDictionary()

    def write(self, job: Composed) -> str:
        """Make the job's directory and, unless it is switched off, its ``.hydra`` folder.

        Returns:
            The job's directory.
        """
        directory = job.output_dir
        _make(directory)
        subdir = job.shape.hydra_setting(job, ("hydra", "output_subdir"))
        if subdir is not None:
            folder = os.path.join(job.absolute_dir, str(subdir))
            _make(folder)
            _write(folder, "config.yaml", self.config_yaml(job))
            _write(folder, "hydra.yaml", self.hydra_yaml(job))
            _write(folder, "overrides.yaml", _list((), job.overrides))
        return directory

    def config_yaml(self, job: Composed) -> str:
        """The task config of a job as ``OmegaConf.to_yaml`` has it."""
        shape = job.shape
        template = self._configs.get(shape)
        if template is None:
            shape.point_task_at(job)
            template = self._configs[shape] = _Template(_container(shape.task), shape.paths)
        return template.fill(
            [
                _cached_render(
                    path, type(value).__name__, value.name if isinstance(value, Enum) else value
                )
                for path, value in zip(shape.paths, job.values, strict=True)
            ]
        )

    def hydra_yaml(self, job: Composed) -> str:
        """The ``hydra`` part of a job's config as ``OmegaConf.to_yaml`` has it."""
        base = job.shape.base
        template = self._hydras.get(base)
        if template is None:
            job.shape.point_at(job)
            container = {"hydra": _container(job.shape.hydra)}
            template = self._hydras[base] = _Template(container, _HYDRA_FIELDS)
        return template.fill(
            [
                f" {job.number}\n",
                f" '{job.number}'\n",
                _render(_DIRNAME, job.dirname),
                _list(_TASK, job.overrides),
                _render(_OUTPUT_DIR, job.absolute_dir),
            ]
        )


def _make(directory: str) -> None:
    try:
        os.mkdir(directory)
    except FileNotFoundError:
        os.makedirs(directory, exist_ok=True)
    except FileExistsError:
        if not os.path.isdir(directory):
            raise


def _write(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(text.encode())
