"""Ctrl-C and its relatives: SIGTERM, which batch systems send, and SIGHUP of a closed terminal."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dynsweep.errors import Preempted

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
ENDING = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
WORDS = b"\nStopping: the batch in flight is being saved; once more to stop at once.\n"


class Signals:
    """What asks this process to end. A training ends in good order, all else at once.

    Attributes:
        received: number of the last signal, or 0.
        patient: whether the process looks at :meth:`stop` and ends by itself. A second signal is
            obeyed at once.
    """

    def __init__(self) -> None:
        self.received = 0
        self.patient = False

    def stop(self) -> bool:
        """Whether a signal asked for the end."""
        return bool(self.received)

    def catch(self) -> None:
        """From now on; not those that whoever started this process has it ignore."""
        for number in ENDING:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._handle)

    def ignore(self) -> None:
        """From now on: all is done but the last words."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    @property
    def status(self) -> int:
        """Exit status of a process that a signal ended, as shells have it."""
        return 128 + (self.received or signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.received = self.received, number
        if again or not self.patient:
            raise KeyboardInterrupt
        os.write(2, WORDS)

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """A training in this block is saved before it ends by a ``KeyboardInterrupt``."""
        self.patient = True
        try:
            yield
        except Preempted:
            raise KeyboardInterrupt from None
        finally:
            self.patient = False
