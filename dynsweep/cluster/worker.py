"""A worker trains one shard, says how far it is, and stops in good order when asked to.

On this machine it is a process: one for each GPU, or as many as are asked for.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynsweep.cluster.balance import balanced
from dynsweep.cluster.monitor import Monitor, TaskState
from dynsweep.cluster.shards import Shard, Submission, WorkerStatus, write_shards
from dynsweep.config import Run
from dynsweep.engines.devices import SHARERS, available_threads, resolve_device, visible_gpus
from dynsweep.errors import Preempted
from dynsweep.sweep.progress import Progress
from dynsweep.sweep.runner import run_sweep

log = logging.getLogger(__name__)

STOP_SIGNAL = signal.SIGUSR2  # submitit's word for "you are preempted, or out of time"
REQUEUE = 75  # exit status of a process that was asked to stop (EX_TEMPFAIL)
STATUS_SECONDS = 5.0
ORPHAN_SECONDS = 60.0  # in which a worker without a parent ends by itself
MOST_ERRORS = 20  # passed on one by one


@dataclass(frozen=True)
class Worker:
    """Trains the shard in a file; a task of Slurm calls one, or :func:`main`.

    Asked to stop, by a signal, it saves the batch in flight and raises ``Preempted``; under
    submitit the task is then requeued, and goes on from there.
    """

    shard: Path

    def checkpoint(self) -> Any:
        """For submitit: what a requeued task runs. It finds its records and its checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def __call__(self) -> None:
        logging.basicConfig(level=logging.INFO, format="[%(asctime)s] %(message)s")
        signals: list[int] = []
        # submitit's handler would leave at once, from the middle of a step.
        requeue = signal.signal(STOP_SIGNAL, lambda number, frame: signals.append(number))
        shard = Shard.read(self.shard)
        status = WorkerStatus(total=len(shard.runs))
        status.write(self.shard)
        logger, errors = logging.getLogger("dynsweep"), Errors(status)
        logger.addHandler(errors)
        try:
            train_shard(
                shard, lambda: bool(signals), lambda runs: Heartbeat(runs, self.shard, status)
            )
            status.state, status.done = "finished", status.total
        except Preempted:
            status.state = "requeued"
            log.warning("Stopped and saved; to be continued")
            if callable(requeue):
                status.write(self.shard)
                requeue(STOP_SIGNAL, None)  # submitit's: dumps the task anew, requeues, exits
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


class LocalExecutor:
    """A process of this machine for each shard, all at a time.

    With every look at them ``stop`` is asked; once true, all are asked to stop, and ``Preempted``
    is raised when they have.
    """

    grace = 0.0
    pause = 0.2

    def __init__(self, stop: Callable[[], bool] = lambda: False) -> None:
        self.stop = stop
        self._stopping = False
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
        """A process for each, with its part of the threads, and a GPU if there are any."""
        gpus = visible_gpus()
        threads = max(1, available_threads() // len(shards))
        for index, shard in enumerate(shards):
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
                environment[SHARERS] = str(-(-len(shards) // len(gpus)))
            command = [sys.executable, "-m", "dynsweep.cluster.worker", str(shard.path)]
            log_file = shard.path.with_suffix(".log")
            with log_file.open("ab") as file:
                # A session of its own: Ctrl-C reaches this process, which then ends the others.
                process = subprocess.Popen(
                    command, env=environment, stdin=subprocess.PIPE, stdout=file, stderr=file,
                    start_new_session=True,
                )  # fmt: skip
            self._processes[str(process.pid)] = process
            yield [Submission(shard.path, str(process.pid), log_file, len(shard.runs), "local")]

    def states(self, jobs: Iterable[str]) -> dict[str, TaskState]:
        """How the processes are; raise ``Preempted`` when all were stopped."""
        codes = {job: process.poll() for job, process in self._processes.items()}
        if REQUEUE in codes.values() and None not in codes.values():
            raise Preempted
        if self.stop() and not self._stopping:
            self._stopping = True
            for process in self._processes.values():
                process.send_signal(STOP_SIGNAL)
        return {job: _task_state(codes[job]) for job in jobs}

    def close(self) -> None:
        """End all that are left, and wait for their end."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait()


def _task_state(code: int | None) -> TaskState:
    if code is None or code == REQUEUE:
        return TaskState("running", alive=True)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return TaskState(how, alive=False)


def worker_count(runs: Sequence[Run], workers: int | None = None) -> int:
    """How many workers train these runs here: ``workers``, or one for each GPU that they may
    use, or one."""
    if workers is None:
        devices = {resolve_device(device) for device in {run.settings.device for run in runs}}
        workers = len(visible_gpus()) if "cuda" in devices else 1
    return max(1, min(workers, len(runs)))


def train_shard(
    shard: Shard, stop: Callable[[], bool], progress: Callable[[int], Progress]
) -> None:
    """Train a shard in this process, or in one process for each of the GPUs here."""
    count = worker_count(shard.runs)
    if count == 1:
        run_sweep(shard.runs, shard.directory, shard.label, stop, progress)
        return
    # A task that comes back cuts as before: each worker finds its own records and checkpoint.
    parts = balanced(shard.runs, count)
    shards = write_shards(shard.path.parent, parts, f"{shard.path.stem}.")
    executor = LocalExecutor(stop)
    try:
        monitor = Monitor([task for part in executor.submit(shards) for task in part], executor)
        monitor.run(progress)
    finally:
        executor.close()
    if monitor.reasons:
        raise RuntimeError("; ".join(monitor.reasons.values()))


def main() -> None:
    """``python -m dynsweep.cluster.worker SHARD``: a worker of this machine.

    Its standard input is a pipe that ends with the process that started it, however that ends;
    then the worker is asked to stop, and after some time made to.
    """

    def follow() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), STOP_SIGNAL)
        time.sleep(ORPHAN_SECONDS)
        os._exit(REQUEUE)

    # Until it trains, and once what it trained is saved; the interpreter's way out would wait for
    # threads of libraries.
    signal.signal(STOP_SIGNAL, lambda number, frame: os._exit(REQUEUE))
    threading.Thread(target=follow, daemon=True, name="parent").start()
    Worker(Path(sys.argv[1]))()


if __name__ == "__main__":
    main()
