"""Fast composition: the configs of thousands of jobs, equal to Hydra's, at microseconds each.

Hydra composes each job from its files, which takes about 50 ms. Here the groups chosen by a job
are composed by Hydra once per distinct choice; the remaining overrides are applied by Hydra's own
code once per distinct set of keys, and once per distinct value to check and convert it. What is
left per job is to put the values at their places (:mod:`dynsweep.launchers.shapes`).

Only ``key=scalar`` overrides are treated so (with ``+`` and ``++`` too). Where there is anything
else (``~``, lists, dicts, interpolations), all overrides of the job are applied by Hydra to a
copy, and jobs that change ``hydra.*`` are composed by Hydra altogether.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, OmegaConf

from dynsweep.launchers.nodes import Path
from dynsweep.launchers.shapes import Base, Composed, Shape

_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")


class _Kind(Enum):
    """What an override asks of composition."""

    PLAIN = 1  # a scalar for one setting
    GROUP = 2  # which files are composed
    OTHER = 3  # any other change of the composed config
    HYDRA = 4  # of Hydra's own settings, or not allowed in a job


class _Parsed:
    """An override string, parsed once."""

    def __init__(self, override: Override, kind: _Kind) -> None:
        self.override = override
        self.kind = kind
        self.text = str(override.input_line)
        self.path: Path = tuple(override.key_or_group.split("."))


class Composer:
    """Composes jobs of one multirun; what it has seen once it does not compute again.

    Args:
        loader: Hydra's config loader.
        master: the multirun's config, as launchers and sweepers get it.
    """

    def __init__(self, loader: ConfigLoaderImpl, master: DictConfig) -> None:
        self.master = master
        self._loader = loader
        self._parser = OverridesParser.create()
        hydra_overrides = OmegaConf.to_container(master.hydra.overrides.hydra)
        assert isinstance(hydra_overrides, list)
        # With hydra.searchpath the groups are not those of loader.repository.
        _, self._repository = loader._parse_overrides_and_create_caching_repo(
            master.hydra.job.config_name, hydra_overrides
        )
        self._parsed: dict[str, _Parsed] = {}
        self._bases: dict[tuple[str, ...], Base] = {}
        self._shapes: dict[tuple[str, ...], Shape | None] = {}

    def compose(self, overrides: Sequence[str], number: int) -> Composed:
        """The job with these overrides; equal to Hydra's ``load_sweep_config``, errors too."""
        parsed = [self._parsed.get(text) or self._parse(text) for text in overrides]
        whole = [item.override for item in parsed]
        if any(item.kind is _Kind.HYDRA for item in parsed):
            base = Base(self._loader.load_sweep_config(self.master, list(overrides)))
            return Composed(Shape(self.master, base, [], []), (), whole, number)
        plain = [item for item in parsed if item.kind is _Kind.PLAIN]
        key = tuple(
            f"{item.override.get_key_element()}=" if item.kind is _Kind.PLAIN else item.text
            for item in parsed
        )
        shape = self._shapes.get(key)
        if shape is None and key not in self._shapes:
            shape = self._shapes[key] = self._new_shape(parsed, plain)
        if shape is not None:
            values = tuple([shape.coerce(item.path, item.override) for item in plain])
            return Composed(shape, values, whole, number)
        return Composed(self._shape(parsed, []), (), whole, number)

    def _new_shape(self, parsed: list[_Parsed], plain: list[_Parsed]) -> Shape | None:
        shape = self._shape(parsed, [item.path for item in plain])
        return shape if shape.fits and _independent(parsed, plain) else None

    def _shape(self, parsed: list[_Parsed], paths: list[Path]) -> Shape:
        changes = [item.override for item in parsed if item.kind in (_Kind.PLAIN, _Kind.OTHER)]
        return Shape(self.master, self._base(parsed), changes, paths)

    def _base(self, parsed: list[_Parsed]) -> Base:
        groups = tuple(item.text for item in parsed if item.kind is _Kind.GROUP)
        if groups not in self._bases:
            self._bases[groups] = Base(self._loader.load_sweep_config(self.master, list(groups)))
        return self._bases[groups]

    def _parse(self, text: str) -> _Parsed:
        override = self._parser.parse_overrides([text])[0]
        parsed = self._parsed[text] = _Parsed(override, self._kind(override))
        return parsed

    def _kind(self, override: Override) -> _Kind:
        key = override.key_or_group
        if override.is_hydra_override() or key == "hydra" or override.is_sweep_override():
            return _Kind.HYDRA
        value = override.value()
        if not isinstance(value, dict) and self._repository.group_exists(key):
            return _Kind.GROUP
        if override.is_delete() or override.package is not None:
            return _Kind.OTHER
        raw = override._value
        text = raw.text if isinstance(raw, QuotedString) else raw
        if isinstance(text, str) and ("${" in text or text == "???"):
            return _Kind.OTHER
        scalar = text is None or isinstance(text, (str, int, float, bool))
        return _Kind.PLAIN if scalar and _KEY.fullmatch(key) else _Kind.OTHER


def _independent(parsed: list[_Parsed], plain: list[_Parsed]) -> bool:
    """Whether the plain values cannot touch each other's settings, nor those of the rest."""
    others = [item for item in parsed if item.kind is _Kind.OTHER]
    if any(item.override.is_delete() and item.override.value() is not None for item in others):
        return False
    for position, item in enumerate(plain):
        for other in [*plain[position + 1 :], *others]:
            shared = min(len(item.path), len(other.path))
            if item.path[:shared] == other.path[:shared]:
                return False
    return True
