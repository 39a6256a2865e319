"""The ``dynsweep-status`` command."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dynsweep.cli.parser import Parser

EXAMPLES = """\
examples:
  dynsweep-status outputs/period_amplitude/2026-01-31_12-00-00
  watch -n 10 dynsweep-status DIR
"""


def parser() -> Parser:
    """Directories only."""
    command = Parser(
        prog="dynsweep-status",
        description="Tell how many runs of the grid of a sweep, or of a single run, are done, "
        "running or missing, who is at work on them, and when that should end. Nothing is "
        "written.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("directories", nargs="+", metavar="DIR", help="of a sweep or of a run")
    return command


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Exit status: 0, or 2 where there is no such directory."""
    command = parser()
    tell(command, command.parse_args(arguments).directories)


def tell(command: Parser, directories: Sequence[str]) -> None:
    """Print how far each of the directories is."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from dynsweep.cli.hydra_errors import one_line
    from dynsweep.cluster.status import report
    from dynsweep.errors import DynsweepError
    from dynsweep.launchers import register
    from dynsweep.launchers.grid import recorded_grid
    from dynsweep.store.command import command_line

    register()
    for directory in map(Path, directories):
        if not directory.is_dir():
            command.error(f"{directory}: no such directory")
        grid, line, note = None, "", ""
        try:
            line = command_line(directory, here=True) or ""
            grid = recorded_grid(directory)
        except DynsweepError as error:
            note = str(error)
        except (HydraException, OmegaConfBaseException, OSError) as error:
            note = one_line(error, [])
        with command.one_line():
            print(report(directory, grid, line))
        if note:
            print(f"The size of the grid is not known: {note}")


if __name__ == "__main__":
    main()
