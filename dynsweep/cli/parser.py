"""What the commands that read records share: errors of one line."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from dynsweep import __version__
from dynsweep.errors import AnalysisError, DynsweepError, StorageError, system_reason
from dynsweep.store.foreign import ForeignFile
from dynsweep.sweep.signals import SIGNALS


class Parser(argparse.ArgumentParser):
    """One whose errors take one line, those of the records included."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **options)
        self.add_argument("--version", action="version", version=f"{prog} {__version__}")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")

    @contextmanager
    def one_line(self) -> Iterator[None]:
        """Ends the command with status 2 where what was asked for does not fit the records, and
        with 1 where files cannot be written."""
        try:
            with SIGNALS.raising():
                yield
        except AnalysisError as error:
            error.prefix = "--"
            self.error(str(error))
        except ForeignFile as error:
            self.error(str(error))
        except StorageError as error:
            self.exit(1, f"{self.prog}: error: {error}; elsewhere: --output DIR\n")
        except DynsweepError as error:
            self.error(str(error))
        except BrokenPipeError:
            raise
        except OSError as error:
            self.exit(1, f"{self.prog}: error: {system_reason(error)}\n")
