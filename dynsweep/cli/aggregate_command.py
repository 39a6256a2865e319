"""The ``dynsweep-aggregate`` command."""

import argparse

from dynsweep.cli.parser import Parser
from dynsweep.metrics import COLUMNS

EXAMPLES = """\
examples:
  dynsweep-aggregate outputs/period_amplitude/2026-01-31_12-00-00
  dynsweep-aggregate DIR --x width --y lr --metric gain_validation_accuracy
  dynsweep-aggregate DIR --where model.init=glorot --output outputs/glorot
  dynsweep-aggregate DIR --decision amplitude=1 --decision period=100,amplitude=20,seed=2
  dynsweep-aggregate DIR --html
  dynsweep-aggregate DIR --status
  dynsweep-aggregate DIR_1 DIR_2 --output outputs/both
"""


def parser() -> Parser:
    """The options; names of settings are short (``lr``) or dotted (``optimizer.lr``)."""
    gains = [f"gain_{name}" for name in COLUMNS if name.endswith("_accuracy")]
    command = Parser(
        prog="dynsweep-aggregate",
        description="Write results.csv (a row per run), cells.csv (statistics over seeds), "
        "variance.csv (which settings matter, of a full grid), phase diagrams, gains over the "
        "static loss and decision regions of sweep directories, complete or not. Settings are "
        "named short (lr) or in full (optimizer.lr).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "directories", nargs="+", metavar="DIR", help="sweep directory (holds runs/*.jsonl)"
    )
    command.add_argument(
        "--output", metavar="DIR", help="where to write (default: DIR; needed with several DIRs)"
    )
    command.add_argument(
        "--x", metavar="NAME", help="setting of the horizontal axis (default: period, if swept)"
    )
    command.add_argument(
        "--y", metavar="NAME", help="setting of the vertical axis (default: amplitude, if swept)"
    )
    command.add_argument(
        "--metric",
        dest="metrics",
        metavar="NAME",
        action="extend",
        type=_names,
        default=[],
        help=f"what to draw: {', '.join([*COLUMNS, *gains])}; several with commas or by "
        "repeating (default: the accuracies and their gains)",
    )
    command.add_argument(
        "--decision",
        dest="decisions",
        metavar="NAME=VALUE,...",
        action="append",
        default=[],
        help="a run whose decision regions to draw, such as period=100,amplitude=20; the best "
        "cell that fits, and there the seed nearest to the mean, unless given; may be repeated "
        "(default: static loss and best cell)",
    )
    command.add_argument(
        "--where",
        metavar="NAME=VALUE,...",
        help="draw only runs with these values (the tables hold all)",
    )
    command.add_argument(
        "--formats",
        metavar="LIST",
        type=_names,
        default="png,pdf",
        help="png, pdf, svg (default: png,pdf)",
    )
    command.add_argument(
        "--no-figures", dest="figures", action="store_false", help="write the tables only"
    )
    command.add_argument(
        "--html",
        action="store_true",
        help="also write report.html: the diagrams to click through, and the table of runs",
    )
    command.add_argument(
        "--status",
        action="store_true",
        help="write nothing; tell how far the sweep is, as dynsweep-status does",
    )
    return command


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Exit status: 0, or 2 for an option that does not fit the records."""
    command = parser()
    options = vars(command.parse_intermixed_args(arguments))
    directories = options["directories"]
    if options.pop("status"):
        from dynsweep.cli.status_command import tell

        tell(command, directories)
        return
    if len(directories) > 1 and not options["output"]:
        command.error("several directories: say where to write with --output DIR")
    # Pandas takes half a second: --help and typing errors should not wait for it.
    from dynsweep.cli.aggregate import aggregate

    with command.one_line():
        print(aggregate(**options).text())


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    main()
