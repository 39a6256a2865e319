"""The words of a command line: whole numbers as people write them, and names as they say them."""

import difflib
import re
from collections.abc import Sequence
from decimal import Decimal

from dynsweep.config.launchers import LAUNCHING
from dynsweep.config.run import SETTINGS, settings_of
from dynsweep.data import DATASETS
from dynsweep.errors import ConfigError, no_such
from dynsweep.models import MODELS

POWER = re.compile(r"(?<![\w.])[+-]?\d+\.?\d*[eE][+-]?\d+(?![\w.])")
MOST_DIGITS = 18  # of a whole number
DIRECTORIES = ("hydra.sweep.dir", "hydra.run.dir")
NO_DIRECTORY = "must name a directory; . is the working directory"


def understood(words: Sequence[str]) -> list[str]:
    """Overrides in Hydra's words, where ours are more.

    Whole numbers may have powers of ten, alone or as values of an axis.

    Raises:
        ConfigError: a directory without a name, or a value without one.

    >>> understood(["steps=1e5", "loss.period=range(1e3,35e2,5e2)", "optimizer.lr=1e-3"])
    ['steps=100000', 'loss.period=range(1000,3500,500)', 'optimizer.lr=1e-3']
    """
    return [_understood(word) for word in words]


def _understood(word: str) -> str:
    name, sign, value = word.partition("=")
    if sign and not name:
        raise ConfigError("", value, "a value without a name; type name=value")
    if sign and not value.strip("'\"") and name in DIRECTORIES:
        raise ConfigError(name, value, NO_DIRECTORY)
    setting = (SETTINGS | LAUNCHING).get(name.lstrip("+"))
    return name + sign + POWER.sub(_whole, value) if setting and setting.whole else word


def _whole(found: re.Match[str]) -> str:
    """The number without its power of ten; what is no whole number stays, to be refused."""
    number = Decimal(found[0])
    if number.adjusted() >= MOST_DIGITS or number != number.to_integral_value():
        return found[0]
    return str(int(number))


def unknown(name: str, known: Sequence[str] = ()) -> str:
    """What to say of a setting that there is none of: which names in full may be meant, or which
    are ``known`` in its place.

    >>> unknown("lr")
    'no such setting; did you mean optimizer.lr?'
    """
    place, _, last = name.rpartition(".")
    if owners := _owners(name):
        return f"a setting of {' and '.join(owners)} alone"
    if last not in _CALLED and difflib.get_close_matches(last, known, n=1):
        return no_such(last, known, f" in {place}" if place else "")
    for word in (last, *difflib.get_close_matches(last, _CALLED, n=1)):
        if word in _CALLED:
            return f"no such setting; did you mean {' or '.join(_CALLED[word])}?"
    return no_such(last, known, f" in {place}" if place else "")


def _owners(name: str) -> list[str]:
    """Of which choices of dataset or model it is a setting."""
    return [
        f"{group}={kind}"
        for group, kinds in (("dataset", DATASETS), ("model", MODELS))
        for kind in kinds
        if name in settings_of(**{"dataset": None, "model": None, group: kind})
    ]


def _called() -> dict[str, list[str]]:
    """The full names of settings by what people call them: ``lr``, ``A``, ``learning_rate``."""
    called: dict[str, list[str]] = {}
    for full, one in SETTINGS.items():
        last = full.rpartition(".")[2]
        if last != "name" and "." in full:
            for word in {last, one.short, one.symbol, one.label.replace(" ", "_")} - {""}:
                called.setdefault(word, []).append(full)
    return called


_CALLED = _called()
