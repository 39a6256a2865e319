"""Where the commands start: Ctrl-C and closed pipes are understood before all imports."""

import importlib
import os
import sys

from dynsweep.errors import system_reason
from dynsweep.sweep.signals import SIGNALS


def dynsweep() -> None:
    """``dynsweep``."""
    _start("dynsweep", "dynsweep.cli.main")


def aggregate() -> None:
    """``dynsweep-aggregate``."""
    _start("dynsweep-aggregate", "dynsweep.cli.aggregate_command")


def status() -> None:
    """``dynsweep-status``."""
    _start("dynsweep-status", "dynsweep.cli.status_command")


def trajectory() -> None:
    """``dynsweep-trajectory``."""
    _start("dynsweep-trajectory", "dynsweep.cli.trajectory_command")


def _start(name: str, module: str) -> None:
    SIGNALS.name = name
    SIGNALS.catch()
    try:
        for word in sys.argv:
            word.encode()
        try:
            importlib.import_module(module).main()
        finally:
            sys.stdout.flush()  # here, where it is known what to do about a closed pipe
    except KeyboardInterrupt:
        print(f"{name}: interrupted; files that were complete stay", file=sys.stderr)
        sys.stdout.flush()
        SIGNALS.end()
    except UnicodeEncodeError as error:
        if error.object not in sys.argv:
            raise
        print(f"{name}: error: {error.object!a}: not text in UTF-8", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # What is left goes nowhere, lest Python complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # then whoever read has seen enough
            print(f"{name}: error: {system_reason(error)}", file=sys.stderr)
        sys.exit(1)
