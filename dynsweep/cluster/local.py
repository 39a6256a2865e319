"""Workers of this machine: a process for each GPU, or as many as are asked for."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dynsweep.cluster.balance import balanced
from dynsweep.cluster.launch import Launch
from dynsweep.cluster.monitor import Monitor
from dynsweep.cluster.shards import REQUEUE, STOP_SIGNAL, Shard, Submission, write_shards
from dynsweep.cluster.slurm import TaskState
from dynsweep.config import Run
from dynsweep.engines.devices import available_threads, resolve_device, visible_gpus
from dynsweep.sweep.outcomes import Outcomes
from dynsweep.sweep.progress import Progress
from dynsweep.sweep.runner import run_sweep
from dynsweep.training.driver import Preempted

log = logging.getLogger(__name__)


class LocalExecutor:
    """A process of this machine for each shard, all at a time.

    Args:
        stop: asked with every look at them; once true, all are asked to stop, and ``Preempted``
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
            yield [self._start(shard, shard.path.with_suffix(".log"), environment)]

    def _start(self, shard: Shard, log_file: Path, environment: dict[str, str]) -> Submission:
        command = [sys.executable, "-m", "dynsweep.cluster.worker", str(shard.path)]
        with open(log_file, "ab") as file:
            # A session of its own: Ctrl-C reaches this process, which then ends the others.
            process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=file, start_new_session=True
            )
        self._processes[str(process.pid)] = process
        return Submission(shard.path, str(process.pid), log_file, len(shard.runs), "local")

    def states(self, submissions: Sequence[Submission]) -> dict[str, TaskState]:
        """How the processes are; raise ``Preempted`` when all were stopped."""
        codes = {job: process.poll() for job, process in self._processes.items()}
        running = any(code is None for code in codes.values())
        if REQUEUE in codes.values() and not running:
            raise Preempted
        if self.stop() and not self._stopping:
            self._stopping = True
            for process in self._processes.values():
                process.send_signal(STOP_SIGNAL)
        return {one.job: _task_state(codes[one.job]) for one in submissions}

    def cancel(self, submissions: Sequence[Submission] = ()) -> None:
        """End all that are left, and wait for their end."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait()


class InProcessExecutor(LocalExecutor):
    """One worker after the other in this process, for debugging and quick tests."""

    def _start(self, shard: Shard, log_file: Path, environment: dict[str, str]) -> Submission:
        from dynsweep.cluster.worker import Worker

        handler = signal.getsignal(STOP_SIGNAL)
        try:
            Worker(shard.path)()
        except Exception:
            log.exception("A worker failed")
        finally:
            signal.signal(STOP_SIGNAL, handler)
        return Submission(shard.path, shard.path.stem, log_file, len(shard.runs), "local")

    def states(self, submissions: Sequence[Submission]) -> dict[str, TaskState]:
        """All have ended."""
        return {}


def _task_state(code: int | None) -> TaskState:
    if code is None or code == REQUEUE:
        return TaskState("running", alive=True)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return TaskState(how, alive=False)


def run_here(
    runs: Sequence[Run],
    directory: str | Path,
    workers: int | None = None,
    executor: type[LocalExecutor] = LocalExecutor,
) -> list[Any]:
    """As :func:`dynsweep.sweep.runner.run_sweep`, with several workers on this machine.

    Args:
        runs: a grid.
        directory: of the sweep.
        workers: how many; one for each GPU that the runs may use if not given. One trains in
            this process.
        executor: how workers are started.
    """
    count = worker_count(runs, workers)
    if count == 1:
        return run_sweep(runs, directory)
    outcomes = Outcomes(runs, directory)
    todo = outcomes.missing()
    started = executor()
    launch = Launch(outcomes, started)
    try:
        if todo:
            first, *others = launch.submit(balanced(runs, todo, count))
            logs = first.log.with_name("*.log")
            log.info("%d runs on %d workers; logs: %s", len(todo), 1 + len(others), logs)
            launch.follow()
    finally:
        started.cancel()
    return launch.results()


def train_shard(
    shard: Shard, stop: Callable[[], bool], progress: Callable[[int], Progress]
) -> None:
    """Train a shard in this process, or in one process for each of the GPUs here."""
    count = worker_count(shard.runs)
    if count == 1:
        run_sweep(shard.runs, shard.directory, shard.label, stop, progress)
        return
    # A task that comes back cuts as before: each worker finds its own records and checkpoint.
    parts = balanced(shard.runs, range(len(shard.runs)), count)
    grid = [[shard.runs[position] for position in part] for part in parts]
    shards = write_shards(shard.path.parent, grid, f"{shard.path.stem}.")
    executor = LocalExecutor(stop)
    try:
        monitor = Monitor([one for some in executor.submit(shards) for one in some], executor)
        monitor.run(progress)
    finally:
        executor.cancel()
    if monitor.reasons:
        raise RuntimeError("; ".join(monitor.reasons.values()))


def worker_count(runs: Sequence[Run], workers: int | None = None) -> int:
    """How many workers train these runs here: ``workers``, or one for each GPU that they may
    use, or one."""
    if workers is None:
        devices = {resolve_device(device) for device in {run.settings.device for run in runs}}
        workers = len(visible_gpus()) if "cuda" in devices else 1
    return max(1, min(workers, len(runs)))
