"""Ctrl-C and its relatives: SIGTERM, which batch systems send, and SIGHUP of a closed terminal."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dynsweep.errors import Preempted

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
ENDING = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
WORDS = b"\nStopping: the batch in flight is being saved; once more to stop at once.\n"


class Signals:
    """What asks this process to end; each process has one, ``SIGNALS``.

    At first a signal ends it at once and with a line: an exception out of nowhere would be lost in
    a library's import, or end in its traceback. In :meth:`raising` blocks it is a
    ``KeyboardInterrupt``, and a training in a :meth:`patiently` block ends in good order.

    Attributes:
        received: number of the last signal, or 0.
        name: of the command.
    """

    def __init__(self) -> None:
        self.received = 0
        self.name = "dynsweep"
        self._raises = self._patient = False

    def stop(self) -> bool:
        """Whether a signal asked for the end."""
        return bool(self.received)

    def catch(self) -> None:
        """From now on; not those that whoever started this process has it ignore."""
        for number in ENDING:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._handle)

    @staticmethod
    def done() -> None:
        """All is written: on its way out the interpreter would take a Ctrl-C for its own."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end(self) -> None:
        """End the process as shells expect of one that a signal ended; all has been said."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        # The interpreter's way out would wait for threads, and repeat the signal.
        os._exit(128 + (self.received or signal.SIGINT))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.received = self.received, number
        if self._patient and not again:
            os.write(2, WORDS)
        elif self._patient or self._raises:
            raise KeyboardInterrupt
        else:
            os.write(2, f"{self.name}: interrupted before it did anything\n".encode())
            self.end()

    @contextmanager
    def raising(self) -> Iterator[None]:
        """In this block a signal is a ``KeyboardInterrupt``."""
        before, self._raises = self._raises, True
        try:
            yield
        finally:
            self._raises = before

    @contextmanager
    def lent(self) -> Iterator[None]:
        """In this block of somebody's program Ctrl-C is understood as in :meth:`raising`; what was
        to happen at one before holds again afterwards. Threads besides the main one get none."""
        before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if not main or before is None:
            yield
            return
        self.received = 0
        signal.signal(signal.SIGINT, self._handle)
        try:
            with self.raising():
                yield
        finally:
            signal.signal(signal.SIGINT, before)
            self.received = 0

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """In this block a training that asks :meth:`stop` is saved, and ends by a
        ``KeyboardInterrupt``; a second signal is one at once."""
        self._patient = True
        try:
            yield
        except Preempted:
            raise KeyboardInterrupt from None
        finally:
            self._patient = False


SIGNALS = Signals()
