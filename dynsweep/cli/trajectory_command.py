"""The ``dynsweep-trajectory`` command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dynsweep.cli.aggregate_command import Parser

EXAMPLES = """\
examples:
  dynsweep +experiment=notebook hydra.run.dir=DIR; dynsweep-trajectory DIR
  dynsweep-trajectory DIR --run period=500,amplitude=20,seed=0 --from 2000 --to 2500
  dynsweep +sweep=threshold hydra.sweep.dir=DIR; dynsweep-trajectory DIR
"""


def parser() -> argparse.ArgumentParser:
    """The options; settings are named short (``lr``) or in full (``optimizer.lr``)."""
    made = Parser(
        prog="dynsweep-trajectory",
        description="Draw what observe=... recorded along the runs of a directory: class weights, "
        "loss and its change, accuracy, sharpness and neural tangent kernel in time; change of "
        "the loss over the sharpness; decision regions as a strip and an animation; and, over "
        "several learning rates or widths, the sharpness at which the loss starts to bounce.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("directories", nargs="+", metavar="DIR", help="of a run or of a sweep")
    made.add_argument("--output", metavar="DIR", help="where to write (default: DIR)")
    made.add_argument(
        "--run",
        metavar="NAME=VALUE,...",
        action="append",
        default=[],
        help="draw runs with these values; may be repeated (default: the first six)",
    )
    made.add_argument("--from", dest="first", type=float, metavar="STEP", help="start of the zoom")
    made.add_argument("--to", dest="last", type=float, metavar="STEP", help="end of the zoom")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Exit status: 0, or 2 for an option that does not fit the records."""
    made = parser()
    options = made.parse_intermixed_args(arguments)
    span = None
    if options.first is not None or options.last is not None:
        if options.first is None or options.last is None or options.first >= options.last:
            made.error(f"--from={options.first} --to={options.last}: give both, in this order")
        span = (options.first, options.last)
    if options.output and len(options.directories) > 1:
        made.error(f"--output={options.output}: takes one DIR")
    from dynsweep.analysis.select import AggregateError
    from dynsweep.cli.curves import draw

    for name in options.directories:
        directory = Path(name)
        output = Path(options.output or directory)
        try:
            curves = draw(directory, output, options.run, span)
        except AggregateError as error:
            made.error(str(error))
        except OSError as error:
            made.error(f"{error.filename}: {error.strerror}")
        for note in curves.notes:
            sys.stdout.write(note + "\n")
        files = "  ".join(sorted({path.name for path in curves.files}))
        sys.stdout.write(f"Files in {output}:\n  {files}\n")


if __name__ == "__main__":
    main()
