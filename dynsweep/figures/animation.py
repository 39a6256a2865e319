"""Figures one after the other, as a GIF that repeats."""

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from dynsweep.store.foreign import MARK, replacing_own

GIF_DPI = 100
HOLD = 5  # the last frame stays as long as this many


def frame(figure: Figure, dpi: int = GIF_DPI) -> Image.Image:
    """The figure as it is now."""
    figure.savefig(buffer := io.BytesIO(), format="png", dpi=dpi)
    return Image.open(buffer).convert("RGB")


def save_gif(frames: Sequence[Image.Image], path: Path, fps: int, hold: int = HOLD) -> Path:
    """Write one frame at least, whole or not at all."""
    durations = [1000 // fps] * (len(frames) - 1) + [1000 // fps * hold]
    frames[0].save(
        whole := io.BytesIO(), "GIF", save_all=True, append_images=frames[1:],
        duration=durations, loop=0, comment=f"Made with {MARK}",
    )  # fmt: skip
    with replacing_own(path) as partial:
        partial.write_bytes(whole.getbuffer())
    return path
