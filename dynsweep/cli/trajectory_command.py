"""The ``dynsweep-trajectory`` command."""

import argparse
from pathlib import Path

from dynsweep.cli.parser import Parser

EXAMPLES = """\
examples:
  dynsweep +experiment=notebook hydra.run.dir=DIR; dynsweep-trajectory DIR
  dynsweep-trajectory DIR --run period=500,amplitude=20,seed=0 --from 2000 --to 2500
  dynsweep +experiment=valleys hydra.sweep.dir=DIR; dynsweep-trajectory DIR
  dynsweep +sweep=threshold hydra.sweep.dir=DIR; dynsweep-trajectory DIR
"""


def parser() -> Parser:
    """The options; settings are named short (``lr``) or in full (``optimizer.lr``)."""
    command = Parser(
        prog="dynsweep-trajectory",
        description="Draw what observe=... recorded along the runs of a directory: class weights, "
        "loss and its change, accuracy, sharpness and neural tangent kernel in time; change of "
        "the loss over the sharpness; decision regions as a strip and an animation; the valley of "
        "the loss in a cycle, and its depth over its width; and, over several learning rates or "
        "widths, the sharpness at which the loss starts to bounce.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("directories", nargs="+", metavar="DIR", help="of a run or of a sweep")
    command.add_argument("--output", metavar="DIR", help="where to write (default: DIR)")
    command.add_argument(
        "--run",
        metavar="NAME=VALUE,...",
        action="append",
        default=[],
        help="draw runs with these values; may be repeated (default: the first six)",
    )
    command.add_argument(
        "--from", dest="first", type=float, metavar="STEP", help="start of the zoom"
    )
    command.add_argument("--to", dest="last", type=float, metavar="STEP", help="end of the zoom")
    return command


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Exit status: 0, or 2 for an option that does not fit the records."""
    command = parser()
    options = command.parse_intermixed_args(arguments)
    span = None
    if options.first is not None or options.last is not None:
        if options.first is None or options.last is None or options.first >= options.last:
            command.error(f"--from={options.first} --to={options.last}: give both, in this order")
        span = (options.first, options.last)
    if options.output and len(options.directories) > 1:
        command.error(f"--output={options.output}: takes one DIR")
    from dynsweep.cli.curves import draw

    for directory in options.directories:
        output = options.output or directory
        with command.one_line():
            paths, notes = draw(Path(directory), Path(output), options.run, span)
        files = "  ".join(sorted({path.name for path in paths}))
        print(*notes, f"Files in {output}:", f"  {files}", sep="\n")


if __name__ == "__main__":
    main()
