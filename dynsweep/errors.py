"""The one error that a user can cause: a setting with a value that is not allowed."""

from __future__ import annotations


class ConfigError(ValueError):
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
