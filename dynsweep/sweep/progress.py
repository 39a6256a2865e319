"""Progress of a sweep: a bar on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from dynsweep.config.labels import duration, speed

log = logging.getLogger(__name__)

# Without a terminal a line is logged this often, in seconds.
LINE_SECONDS = 10.0
QUICK = 20_000  # so many runs are looked at within a second or two

T = TypeVar("T")


def told(items: Iterable[T], count: int, doing: str) -> Iterator[T]:
    """``items``, so many runs, while it is told how many were looked at: where that takes long.

    ``doing`` begins a sentence: ``Composing``.
    """
    if count < QUICK:
        yield from items
        return
    bar, last = sys.stderr.isatty(), time.monotonic()
    if not bar:
        log.info("%s %s runs", doing, f"{count:,}")
    shown = tqdm(items, doing, count, unit=" runs", delay=1, disable=not bar, dynamic_ncols=True)
    for done, item in enumerate(shown):
        yield item
        if not bar and done % 1000 == 0 and time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            log.info("%s: %s of %s runs", doing, f"{done:,}", f"{count:,}")


class Bar(tqdm):  # type: ignore[misc]
    """Words of our own for the speed."""

    @property
    def format_dict(self) -> dict[str, Any]:
        known: dict[str, Any] = super().format_dict
        rate = known["rate"] or self.n / max(known["elapsed"], 1e-9)
        return {**known, "speed": speed(rate)}


class Progress:
    """Counts runs, in fractions while they train. Use as a context manager."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.done = 0.0
        self._start = self._last = time.monotonic()
        self._bar: Bar | None = None
        self._lines = ExitStack()
        if sys.stderr.isatty() or "ipykernel" in sys.modules:  # a notebook
            self._bar = Bar(
                total=runs,
                delay=1,
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar}| {n:.0f}/{total} runs"
                " [{elapsed}, {remaining} left, {speed}]",
            )

    def __enter__(self) -> "Progress":
        streams = [getattr(handler, "stream", None) for handler in logging.root.handlers]
        if self._bar is not None and not {sys.stdout, sys.stderr}.isdisjoint(streams):
            self._lines.enter_context(logging_redirect_tqdm())  # above the bar, not into it
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()
        if self._bar is not None:
            self._bar.close()

    def expect(self, runs: int) -> None:
        """Their number is another than was thought."""
        self.runs = runs
        if self._bar is not None:
            self._bar.total = runs
            self._bar.refresh()

    def advance(self, runs: float) -> None:
        """``runs`` more are done; a fraction where a batch is under way."""
        self.done += runs
        if self._bar is not None:
            self._bar.update(runs)
            return
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            rate = self.done / (now - self._start)
            # The first runs' compilation says nothing of how long the others take.
            left = (self.runs - self.done) / rate if self.done >= 0.5 else float("inf")
            words = "%.0f of %d runs, %s, %s left"
            log.info(words, self.done, self.runs, speed(rate), duration(left))
