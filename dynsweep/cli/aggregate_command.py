"""The ``dynsweep-aggregate`` command."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

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


class Parser(argparse.ArgumentParser):
    """Errors take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The options; names of settings are short (``lr``) or dotted (``optimizer.lr``)."""
    made = Parser(
        prog="dynsweep-aggregate",
        description="Write results.csv (a row per run), cells.csv (statistics over seeds), phase "
        "diagrams, gains over the static loss and decision regions of sweep directories, complete "
        "or not. Settings are named short (lr) or in full (optimizer.lr).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "directories", nargs="+", metavar="DIR", help="sweep directory (holds runs/*.jsonl)"
    )
    made.add_argument(
        "--output", metavar="DIR", help="where to write (default: DIR; needed with several DIRs)"
    )
    made.add_argument(
        "--x", metavar="NAME", help="setting of the horizontal axis (default: period, if swept)"
    )
    made.add_argument(
        "--y", metavar="NAME", help="setting of the vertical axis (default: amplitude, if swept)"
    )
    made.add_argument(
        "--metric",
        metavar="NAME",
        action="append",
        help="what to draw: train_accuracy, validation_accuracy, train_loss, validation_loss, "
        "gain_train_accuracy, gain_validation_accuracy; several with commas or by repeating "
        "(default: the accuracies and their gains)",
    )
    made.add_argument(
        "--decision",
        metavar="NAME=VALUE,...",
        action="append",
        default=[],
        help="a run whose decision regions to draw, such as period=100,amplitude=20; the best "
        "cell that fits, and there the seed nearest to the mean, unless given; may be repeated "
        "(default: static loss and best cell)",
    )
    made.add_argument(
        "--where",
        metavar="NAME=VALUE,...",
        help="draw only runs with these values (the tables hold all)",
    )
    made.add_argument(
        "--formats", metavar="LIST", default="png,pdf", help="png, pdf, svg (default: png,pdf)"
    )
    made.add_argument("--no-figures", action="store_true", help="write the tables only")
    made.add_argument(
        "--html",
        action="store_true",
        help="also write report.html: the diagrams to click through, and the table of runs",
    )
    made.add_argument(
        "--status",
        action="store_true",
        help="write nothing; tell how many runs are done, running, pending, failed or missing, "
        "and which tasks of a cluster are still at work",
    )
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command. Exit status: 0, or 2 for an option that does not fit the records."""
    made = parser()
    options = made.parse_intermixed_args(arguments)
    if options.status:
        _tell_status(options.directories, made)
        return
    # Pandas takes half a second: --help and typing errors should not wait for it.
    from dynsweep.analysis.select import AggregateError
    from dynsweep.cli.aggregate import DEFAULT_FIGURES, aggregate

    try:
        summary = aggregate(
            options.directories,
            options.output,
            x=options.x,
            y=options.y,
            metrics=_listed(options.metric) if options.metric else DEFAULT_FIGURES,
            decisions=options.decision,
            where=options.where,
            formats=_listed([options.formats]),
            figures=not options.no_figures,
            html=options.html,
        )
    except AggregateError as error:
        made.error(str(error))
    except OSError as error:
        made.error(f"{error.filename}: {error.strerror}")
    sys.stdout.write(summary.text() + "\n")


def _tell_status(directories: list[str], made: argparse.ArgumentParser) -> None:
    from dynsweep.cluster.status import report

    for directory in directories:
        if not Path(directory).is_dir():
            made.error(f"{directory}: no such directory")
        print(report(Path(directory)))


def _listed(texts: list[str]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    main()
