"""The error of this room; importing it does not import pandas."""

from dynsweep.errors import DynsweepError


class AnalysisError(DynsweepError, ValueError):
    """Something asked of records that they cannot give; its text is one line.

    Args:
        text: what is wrong, or what is allowed.
        arguments: those at fault with their values, as in ``metric="recall"``.

    >>> print(AnalysisError("must be one of lr, width", x="depth"))
    x=depth: must be one of lr, width
    """

    def __init__(self, text: str, **arguments: object) -> None:
        super().__init__(text)
        self.arguments = arguments

    def __str__(self) -> str:
        return self.text()

    def text(self, prefix: str = "") -> str:
        """The line, with ``prefix`` before each argument: a command's are options."""
        named = " ".join(f"{prefix}{name}={value}" for name, value in self.arguments.items())
        return f"{named}: {self.args[0]}" if named else str(self.args[0])
