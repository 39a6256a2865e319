"""A worker: trains one shard, says how far it is, and stops in good order when asked to."""

import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from dynsweep.cluster.shards import REQUEUE, STOP_SIGNAL, Shard, WorkerStatus
from dynsweep.sweep.progress import Progress
from dynsweep.training.driver import Preempted

log = logging.getLogger(__name__)

STATUS_SECONDS = 5.0
MOST_ERRORS = 20  # passed on one by one


class Worker:
    """Trains the shard in a file; a task of Slurm calls one, or :func:`main`.

    Asked to stop, by a signal, it saves the batch in flight and raises ``Preempted``; under
    submitit the task is then requeued, and goes on from there.
    """

    def __init__(self, shard: Path) -> None:
        self.shard = shard
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
            requeue(STOP_SIGNAL, None)  # submitit's: dumps the task anew, requeues, exits

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _train(self) -> None:
        shard = Shard.read(self.shard)
        status = WorkerStatus(total=len(shard.runs))
        status.write(self.shard)
        logger, errors = logging.getLogger("dynsweep"), Errors(status)
        logger.addHandler(errors)
        try:
            # PyTorch comes with it; by now the launching process sees that the worker runs.
            from dynsweep.cluster.local import train_shard

            train_shard(
                shard, lambda: self._stopping, lambda runs: Heartbeat(runs, self.shard, status)
            )
            status.state, status.done = "finished", status.total
        except Preempted:
            status.state = "requeued"
            raise
        except BaseException as error:
            status.state = "failed"
            status.error = " ".join(f"{type(error).__name__}: {error}".split())
            raise
        finally:
            logger.removeHandler(errors)
            status.write(self.shard)


class Errors(logging.Handler):
    """Passes errors on to whoever reads the status file."""

    def __init__(self, status: WorkerStatus) -> None:
        super().__init__(logging.ERROR)
        self.status = status

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.status.errors) < MOST_ERRORS:
            self.status.errors.append(record.getMessage())


class Heartbeat(Progress):
    """Progress that is also written to the worker's status file."""

    def __init__(self, runs: int, shard: Path, status: WorkerStatus) -> None:
        super().__init__(runs)
        self.shard, self.status = shard, status
        self._held = status.total - runs  # done before
        self._written = 0.0

    def advance(self, runs: float) -> None:
        super().advance(runs)
        self.status.done = self._held + self.done
        now = time.monotonic()
        if now - self._written >= STATUS_SECONDS:
            self._written = now
            self.status.write(self.shard)


def main() -> None:
    """``python -m dynsweep.cluster.worker SHARD``: a worker of this machine."""
    try:
        Worker(Path(sys.argv[1]))()
    except Preempted:
        # The interpreter's way out would wait for threads of libraries.
        sys.stderr.flush()
        os._exit(REQUEUE)


if __name__ == "__main__":
    main()
