"""Jobs of a multirun as runs, at a fifth of a millisecond each; Hydra takes 50.

Hydra composes once for each choice of groups, OmegaConf converts each distinct value once; what is
left is to put values into copies of typed settings. Whatever is more than ``key=value`` for a
setting that is there, and every error, is Hydra's own.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from dynsweep.config import Run, replaced, typed
from dynsweep.own import along


class Base:
    """The config of one choice of groups, as Hydra composed it."""

    def __init__(self, config: DictConfig) -> None:
        self.config, self.task = config, without_hydra(config)
        # Where one setting follows from another, each job is resolved as a whole.
        literal = "${" not in repr(OmegaConf.to_container(self.task))
        self.settings = typed(self.task) if literal else None
        self._values: dict[str, Any] = {}

    def value(self, override: Override) -> Any:
        """The value of an override as the type of its setting makes it."""
        text = str(override.input_line)
        if text not in self._values:
            OmegaConf.update(self.task, override.key_or_group, override.value())
            self._values[text] = OmegaConf.select(self.task, override.key_or_group)
        return self._values[text]


class Composer:
    """Composes the jobs of one multirun, whose own config is ``master``."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader, self.master = loader, master
        along(master.hydra.runtime.config_sources)
        self._parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, tuple[Override, bool]] = {}
        self._bases: dict[tuple[str, ...], Base] = {}

    def run(self, number: int, overrides: Sequence[str]) -> Run:
        """The run of a job, with the settings that Hydra would hand to the task."""
        if not isinstance(overrides, list):  # else kept as it is: of a million, copies take 0.1 GB
            overrides = list(overrides)
        parsed = [self._parsed.get(text) or self._parse(text) for text in overrides]
        base = self._base(parsed)
        if base.settings is not None:
            try:
                values = {one.key_or_group: base.value(one) for one, plain in parsed if plain}
                return Run(number, overrides, replaced(base.settings, values))
            except Exception:  # whose error it is, Hydra says
                pass
        config = self.loader.load_sweep_config(self.master, overrides)
        with hydra_config(numbered(config, number)):
            return Run(number, overrides, typed(without_hydra(config)))

    def config(self, run: Run) -> DictConfig:
        """The whole config of a job, ``hydra`` included, as callbacks get it."""
        parsed = [self._parsed[text] for text in run.overrides]
        config = copy.deepcopy(self._base(parsed).config)
        OmegaConf.copy_cache(self.master, config)
        for override, plain in parsed:
            if plain:
                OmegaConf.update(config, override.key_or_group, override.value())
        with read_write(config.hydra):
            config.hydra.overrides.task = run.overrides
            config.hydra.job.override_dirname = ",".join(sorted(run.overrides))
        return numbered(config, run.number)

    def _base(self, parsed: Sequence[tuple[Override, bool]]) -> Base:
        rest = tuple(str(override.input_line) for override, plain in parsed if not plain)
        if rest not in self._bases:
            self._bases[rest] = Base(self.loader.load_sweep_config(self.master, list(rest)))
        return self._bases[rest]

    def _parse(self, text: str) -> tuple[Override, bool]:
        """An override, and whether it is a plain value of one setting."""
        override = self._parser.parse_overrides([text])[0]
        key, value = override.key_or_group, override.value()
        plain = (
            override.type is OverrideType.CHANGE
            and not override.is_sweep_override()
            and not override.is_hydra_override()
            and override.package is None
            and isinstance(value, str | int | float | bool | None)
            and "${" not in text
            and "/" not in key
            and ("." in key or key in self.master)
            and not OmegaConf.is_config(OmegaConf.select(self.master, key))
        )
        self._parsed[text] = override, plain
        return self._parsed[text]


def without_hydra(config: DictConfig) -> DictConfig:
    """The part of a config that the task gets."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def numbered(config: DictConfig, number: int) -> DictConfig:
    """A job's config with what Hydra's launchers set in it."""
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.job.num, config.hydra.job.id = number, str(number)
        config.hydra.runtime.output_dir = str(config.hydra.sweep.dir)
    return config


@contextmanager
def hydra_config(config: DictConfig) -> Iterator[DictConfig]:
    """``HydraConfig`` and ``${hydra:...}`` are those of a job."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield config
    finally:
        HydraConfig.instance().cfg = before
