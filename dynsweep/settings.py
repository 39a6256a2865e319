"""How a setting is declared: once, as the field of a dataclass, with all that is asked of it.

    period: int = setting(200, "period T in steps", least=1, short="period", batched=True)

The type and the default are Hydra's schema; the range is checked before training; the role says
what the setting decides. Identity of a run, batches, columns, labels, help and checks follow from
here. A setting of which nothing is said decides the result and is shared by the runs of a batch:
one that nobody thought about makes separate batches, never wrong numbers.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import cache, cached_property, partial
from typing import Any, TypeVar, get_args, get_type_hints

from dynsweep.errors import ConfigError, no_such

_KEY = "dynsweep"
_FIELDS = "__dataclass_fields__"  # of groups of settings
SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True)
class Setting:
    """What is declared of a setting.

    Attributes:
        name: dotted, as typed on the command line.
        default: of its group; ``None`` where it is mandatory.
        kind: its type, such as ``int | None``.
        help: what it means, in a few words.
        label: on an axis, with its unit.
        short: name of its column in tables, if not the dotted one.
        symbol: in titles.
        choices: what is allowed, if not a range.
        identity: whether it decides the result; else only where and how that is computed.
        batched: whether runs of one batch may differ in it: engines then take an array.
        dynamical: whether it means nothing at amplitude 1.
        follows: whether it follows from files or code that others name: nobody types it.
    """

    name: str
    default: Any = None
    kind: Any = None
    help: str = ""
    label: str = ""
    short: str = ""
    symbol: str = ""
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    below: float = math.inf
    choices: tuple[str, ...] = ()
    identity: bool = True
    batched: bool = False
    dynamical: bool = False
    follows: bool = False

    @property
    def column(self) -> str:
        """Its name in tables."""
        return self.short or self.name

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        return int in (self.kind, *get_args(self.kind))

    @property
    def values(self) -> tuple[str, ...]:
        """All that there are, where they are few; as they are typed."""
        return ("true", "false") if self.kind is bool else self.choices

    @property
    def allowed(self) -> str:
        """The range in words; empty if there is none."""
        if self.choices:
            return f"must be one of {', '.join(self.choices)}"
        if self.most < math.inf:
            return f"must lie between {self.least} and {self.most}"
        if self.below < math.inf:
            return f"must be at least {self.least} and below {self.below}"
        if self.above > -math.inf:
            return f"must be a finite number above {self.above}"
        if self.least > -math.inf:
            return f"must be a finite number, at least {self.least}"
        number = isinstance(self.default, float) and str not in get_args(self.kind)
        return "must be a finite number" if number else ""

    @cached_property
    def _limited(self) -> bool:
        return bool(self.allowed)

    def check(self, value: Any) -> None:
        """Raise :class:`ConfigError` unless ``value`` is in the range; ``None`` has no range."""
        if value is None or not self._limited:
            return
        if self.choices:
            inside = value in self.choices
        else:
            inside = self.least <= value <= self.most and self.above < value < self.below
        if not inside:
            raise ConfigError(self.name, value, self.allowed)


def setting(
    default: Any, help: str = "", *, choices: Iterable[str] = (), place: bool = False, **facts: Any
) -> Any:
    """A field of a group of settings; see :class:`Setting` for the keywords.

    ``place``: it does not decide the result, only where and how that is computed.
    """
    facts |= {"help": help, "choices": tuple(choices), "identity": not place}
    return field(default=default, metadata={_KEY: facts})


follows = partial(setting, follows=True)


@cache
def declared(group: type, prefix: str = "") -> dict[str, Setting]:
    """The settings of a dataclass, those of the groups in it included, by dotted name."""
    found: dict[str, Setting] = {}
    kinds = get_type_hints(group)
    for one in fields(group):
        if (inner := _inner(one)) is not None:
            found |= declared(inner, f"{prefix}{one.name}.")
            continue
        default = None if one.default in (MISSING, "???") else one.default
        found[prefix + one.name] = Setting(
            prefix + one.name, default, kinds.get(one.name, one.type), **one.metadata.get(_KEY, {})
        )
    return found


def _inner(one: Field[Any]) -> type | None:
    """The dataclass of a field that is a group."""
    factory = one.default_factory
    return factory if isinstance(factory, type) and is_dataclass(factory) else None


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted names.

    Args:
        settings: a dataclass of settings, or a nested dict.

    >>> flatten({"loss": {"period": 3}, "steps": 5})
    {'loss.period': 3, 'steps': 5}
    """
    flat: dict[str, Any] = {}
    items = settings if isinstance(settings, dict) else settings.__dict__
    for name, value in items.items():
        if hasattr(value, _FIELDS) or isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if type(value) is tuple else value
    return flat


def replaced(settings: SettingsT, values: Mapping[str, Any]) -> SettingsT:
    """A copy with other values, given by dotted name; unchanged groups are shared.

    Raises:
        ConfigError: there is no such setting.
    """
    new = _clone(settings)
    groups: dict[str, Any] = {"": new}
    for name, value in values.items():
        path, _, last = name.rpartition(".")
        group = groups.get(path)
        if group is None:
            group = _group(groups, path, name)
        if isinstance(group, dict):  # settings of a callable, which alone knows them
            group[last] = value
            continue
        if last not in group.__dict__:
            where = f" in {path}" if path else ""
            raise ConfigError(name, value, no_such(last, group.__dict__, where))
        group.__dict__[last] = tuple(value) if type(value) is list else value
    return new


def _group(groups: dict[str, Any], path: str, name: str) -> Any:
    """The own copy of the group at ``path``, made if there is none yet."""
    if path not in groups:
        outer, _, last = path.rpartition(".")
        parent = _group(groups, outer, name)
        if isinstance(parent, dict):
            raise ConfigError(name, "...", "settings of a callable are numbers, text and lists")
        inner = getattr(parent, last, None)
        if isinstance(inner, dict):
            groups[path] = parent.__dict__[last] = type(inner)(inner)
            return groups[path]
        if not is_dataclass(getattr(parent, last, None)):
            raise ConfigError(name, "", no_such(last, parent.__dict__))
        groups[path] = parent.__dict__[last] = _clone(getattr(parent, last))
    return groups[path]


def _clone(settings: SettingsT) -> SettingsT:
    new = object.__new__(type(settings))
    new.__dict__.update(settings.__dict__)
    return new


def is_group(value: Any) -> bool:
    """Whether a value is a group of settings."""
    return hasattr(value, _FIELDS)


def check(settings: Any, prefix: str = "", checked: set[int] | None = None) -> None:
    """Raise :class:`ConfigError` for the first setting out of range, also of inner groups.

    What ranges of single settings cannot say, a group says in a method ``rules``. Groups whose
    ``id`` is among ``checked`` are left out, and the others added: copies share most of them.
    """
    declarations = declared(settings.__class__, prefix)
    for name, value in settings.__dict__.items():
        if hasattr(value, _FIELDS):
            if checked is None:
                check(value, f"{prefix}{name}.")
            elif id(value) not in checked:
                check(value, f"{prefix}{name}.", checked)
                checked.add(id(value))
        else:
            declarations[prefix + name].check(value)
    if hasattr(settings, "rules"):
        settings.rules()
