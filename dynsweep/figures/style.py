"""What all figures share: words, numbers as text, colours, and writing files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynsweep.store.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150  # a figure of the greatest width is about 1600 pixels wide
WIDEST = 10.6  # inches
TITLE, LABEL, TICK, SMALL = 11, 9.5, 8.5, 7.5  # font sizes, points
INK, MISSING, HATCH = "0.15", "0.93", "0.72"
SEQUENTIAL, DIVERGING = "viridis", "RdBu"
# Okabe and Ito's colours, told apart with any colour vision; static loss in black.
CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#777777")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure whole or not at all; the format is the path's suffix."""
    form = path.suffix[1:]
    # A file that depends on the figure alone: PDF would note the time.
    metadata: dict[str, Any] = {"CreationDate": None} if form == "pdf" else {}
    with replacing(path) as partial:
        figure.savefig(partial, format=form, dpi=DPI, metadata=metadata)
    return path


def save_all(
    figure: Figure, stem: Path | str, formats: Sequence[str] = ("png", "pdf")
) -> list[Path]:
    """Write ``stem.png`` and ``stem.pdf``; a dot in the stem stays."""
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    return [save(figure, stem.with_name(f"{stem.name}.{form}")) for form in formats]


def plain_axes(axis: Axes, tick: float = TICK) -> None:
    """Thin spines, a pale grid behind the data, and small ticks."""
    for spine in axis.spines.values():
        spine.set(linewidth=0.6, color=INK)
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(which="both", labelsize=tick, color=INK, labelcolor=INK)


def title(figure: Figure, left: float, text: str, facts: str = "") -> None:
    """A bold title and a line of facts in the 0.55 inches at the top, ``left`` inches in."""
    width, height = figure.get_size_inches()
    place: dict[str, Any] = {"x": left / width, "ha": "left", "va": "top", "color": INK}
    figure.text(y=1 - 0.1 / height, s=text, fontsize=TITLE, fontweight="bold", **place)
    figure.text(y=1 - 0.34 / height, s=facts, fontsize=TICK, **place)
