"""Errors with a text for the user, each of one line."""

import errno
import os
from collections.abc import Iterable


class DynsweepError(Exception):
    """What dynsweep raises on purpose; the text is one line for the user."""


class Preempted(BaseException):
    """The training was asked to stop, and has saved what it had; no error of any run."""


class RunFailed(DynsweepError, RuntimeError):
    """A run raised; the text is its error."""


class NotSubmitted(RunFailed):
    """A run never came to a cluster; :attr:`reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"its task was not submitted: {reason}")
        self.reason = reason


class SweepFailed(DynsweepError, RuntimeError):
    """Some runs of a sweep failed; the text says how many, and the first error."""


class SlurmError(DynsweepError, RuntimeError):
    """A command of Slurm did not work; the text is what it said, in one line."""


class StorageError(DynsweepError):
    """Something could not be written; its text names the file, and the system's reason.

    Attributes:
        read_only: whether it must not be written, as against a lack of room and the like.
    """

    def __init__(self, path: str | os.PathLike[str], error: OSError) -> None:
        super().__init__(f"{os.fspath(path)}: {error.strerror or error}")
        self.read_only = error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


class DeviceLost(DynsweepError):
    """An error of the device after which this process can no longer use it; the text says which.
    Of the runs it was training nothing is known."""


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


class AnalysisError(DynsweepError, ValueError):
    """Something asked of records that they cannot give; its text is one line.

    Args:
        text: what is wrong, or what is allowed.
        arguments: those at fault with their values, as in ``metric="recall"``.

    >>> print(AnalysisError("must be one of lr, width", x="depth"))
    x=depth: must be one of lr, width
    """

    prefix = ""  # of arguments' names: a command's are options

    def __init__(self, text: str, **arguments: object) -> None:
        super().__init__(text)
        self.arguments = arguments

    def __str__(self) -> str:
        named = " ".join(f"{self.prefix}{name}={v}" for name, v in self.arguments.items())
        return f"{named}: {self.args[0]}" if named else str(self.args[0])


def system_reason(error: OSError) -> str:
    """The system's words, of a file if it names one."""
    place = "standard output" if error.filename is None else os.fsdecode(error.filename)
    return f"{place}: {error.strerror or error}"


def no_such(name: str, known: Iterable[str], where: str = "") -> str:
    """What to say of a name that is not among ``known``."""
    import difflib  # what is imported here comes before Ctrl-C is understood

    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ";"
    return f"no such setting{hint} allowed{where}: {', '.join(names)}"
