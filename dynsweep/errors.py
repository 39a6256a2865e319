"""Errors with a text for the user, each of one line."""

import difflib
from collections.abc import Iterable


class DynsweepError(Exception):
    """What dynsweep raises on purpose; the text is one line for the user."""


class RunFailed(DynsweepError, RuntimeError):
    """A run raised; the text is its error."""


class SweepFailed(DynsweepError, RuntimeError):
    """Some runs of a sweep failed; the text says how many, and the first error."""


class ConfigError(DynsweepError, ValueError):
    """A setting whose value is not allowed; its text is one line.

    Args:
        setting: dotted name of the setting, as typed on the command line.
        value: the value that was given.
        allowed: what would have been accepted, in words.
    """

    def __init__(self, setting: str, value: object, allowed: str) -> None:
        super().__init__(setting, value, allowed)
        self.setting = setting
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        return f"{self.setting}={self.value}: {self.allowed}"


def no_such(name: str, known: Iterable[str], where: str = "") -> str:
    """What to say of a name that is not among ``known``."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ";"
    return f"no such setting{hint} allowed{where}: {', '.join(names)}"
