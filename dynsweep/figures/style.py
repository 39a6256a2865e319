"""What all figures share: the style sheet, colours, titles, and writing files."""

import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullFormatter

from dynsweep.config.labels import number
from dynsweep.store.files import make_folder
from dynsweep.store.foreign import MARK, replacing_own

SHEET = mpl.rc_params_from_file(
    Path(__file__).with_name("sheet.mplstyle"), use_default_template=False
)
styled = mpl.rc_context(SHEET)
"""Decorator of all functions that draw: inside them the style sheet holds."""

SMALL = 7.5  # points: text in cells, and ticks of small panels
INK, MISSING = SHEET["text.color"], "0.93"
SEQUENTIAL, DIVERGING = "viridis", "RdBu"
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": MARK},
    "pdf": {"Creator": MARK, "CreationDate": None},
    "svg": {"Creator": MARK, "Date": None},
}
GLUE = "\N{NO-BREAK SPACE}"
COLOURS: list[str] = SHEET["axes.prop_cycle"].by_key()["color"]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("solid", "dashed", "dotted", "dashdot")


def look(index: int) -> tuple[str, str, str]:
    """Colour, marker and dashes of one of many classes: 16 colours; a marker for every 8, which
    tells apart what colours alone would not."""
    turn = index // 8
    return COLOURS[index % len(COLOURS)], MARKERS[turn % 8], DASHES[turn % 4]


@styled
def save_all(figure: Figure, stem: Path, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write ``stem.png`` and ``stem.pdf``, each whole or not at all; a dot in the stem stays."""
    make_folder(stem.parent)
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    for path, form in zip(paths, formats, strict=True):
        # A file that depends on the figure alone: some would note the time.
        # Into memory first: Matplotlib does not expect that a write may fail.
        figure.savefig(drawn := io.BytesIO(), format=form, metadata=METADATA.get(form))
        with replacing_own(path) as partial:
            partial.write_bytes(drawn.getbuffer())
    return paths


@styled
def title(drawn: Axes | Figure, text: str, facts: str = "") -> Figure:
    """Put a bold title and what the figure's data have in common at its top left.

    ``drawn`` is a figure with constrained layout, or axes of one; that figure is returned. The
    ``text`` is one line, and ``facts`` smaller text below it, wrapped to the figure's width.
    """
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    assert isinstance(figure, Figure)
    width, height = figure.get_size_inches()
    lines = []
    for line in facts.splitlines():
        # In a list of settings a value stays with its name.
        whole = line if line.endswith(".") else re.sub("(?<!,) ", GLUE, line)
        lines += [part.replace(GLUE, " ") for part in textwrap.wrap(whole, int(width * 13))]
    left = 0.08 / width
    figure.suptitle(text, x=left, y=1 - 0.08 / height, ha="left").set_in_layout(False)
    figure.text(left, 1 - 0.31 / height, "\n".join(lines), va="top")
    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(rect=(0, 0, 1, 1 - (0.42 + 0.15 * len(lines)) / height))
    return figure


def round_ticks(line: Axis) -> None:
    """Ticks of a log axis at 1, 2, 5, 10, ... or, over several decades, at powers of ten."""
    low, high = sorted(line.get_view_interval())
    line.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    line.set_major_formatter(lambda value, _: number(value))
    line.set_minor_formatter(NullFormatter())
