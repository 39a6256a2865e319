"""A worker: trains one share, says how far it is, and stops in good order when asked to."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from dynsweep.cluster.shards import Share, Status
from dynsweep.cluster.signals import REQUEUE, STOP_SIGNAL
from dynsweep.sweep.progress import Progress
from dynsweep.training.driver import Preempted

log = logging.getLogger(__name__)

STATUS_SECONDS = 5.0
MOST_ERRORS = 20  # passed on one by one


class Worker:
    """Trains the share in a file. Called by submitit in a task, or by :func:`main`.

    Asked to stop, by a signal, it saves the batch in flight and raises ``Preempted``; under
    submitit the task is then requeued, and goes on from there.
    """

    def __init__(self, share: Path) -> None:
        self.share = share
        self._stopping = False

    def __call__(self) -> None:
        logging.basicConfig(
            level=logging.INFO, format="[%(asctime)s] %(message)s", stream=sys.stderr
        )
        # submitit's handler would leave at once, from the middle of a step.
        requeue = signal.signal(STOP_SIGNAL, self._stop)
        try:
            self._train()
        except Preempted:
            log.warning("Stopped and saved; to be continued")
            if not callable(requeue):
                raise
            requeue(STOP_SIGNAL, None)  # submitit's: calls checkpoint(), requeues, exits

    def checkpoint(self) -> Any:
        """What submitit is to run when the task comes back: the same, it finds its records."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Worker(self.share))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _train(self) -> None:
        share = Share.read(self.share)
        status = Status(total=len(share.jobs))
        status.write(self.share)
        logging.getLogger("dynsweep").addHandler(Errors(status))
        try:
            # PyTorch comes with it; by now the launching process sees that the worker runs.
            from dynsweep.cluster.workers import train

            train(share, lambda: self._stopping, lambda runs: Heartbeat(runs, self.share, status))
            status.state, status.done = "finished", status.total
        except Preempted:
            status.state = "requeued"
            raise
        except BaseException as error:
            status.state = "failed"
            status.error = " ".join(f"{type(error).__name__}: {error}".split())
            raise
        finally:
            status.write(self.share)


class Errors(logging.Handler):
    """Passes errors on to whoever reads the status file."""

    def __init__(self, status: Status) -> None:
        super().__init__(logging.ERROR)
        self.status = status

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.status.errors) < MOST_ERRORS:
            self.status.errors.append(record.getMessage())


class Heartbeat(Progress):
    """Progress that is also written to the worker's status file."""

    def __init__(self, runs: int, share: Path, status: Status) -> None:
        super().__init__(runs)
        self.share, self.status = share, status
        self._held = status.total - runs  # done before
        self._written = 0.0

    def advance(self, runs: float) -> None:
        super().advance(runs)
        self.status.done = self._held + self.done
        now = time.monotonic()
        if now - self._written >= STATUS_SECONDS:
            self._written = now
            self.status.write(self.share)


def main() -> None:
    """``python -m dynsweep.cluster.worker SHARE``: a worker of this machine."""
    try:
        Worker(Path(sys.argv[1]))()
    except Preempted:
        # The interpreter's way out would wait for threads of libraries.
        sys.stderr.flush()
        os._exit(REQUEUE)


if __name__ == "__main__":
    main()
