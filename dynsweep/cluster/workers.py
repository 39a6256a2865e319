"""Several workers on one machine: one for each GPU."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynsweep.cluster.sharding import Dealing, deal
from dynsweep.cluster.shards import Share, Status, new_launch, write_shares
from dynsweep.cluster.signals import REQUEUE, STOP_SIGNAL
from dynsweep.config import run_config
from dynsweep.engines.devices import available_threads, resolve_device, visible_gpus
from dynsweep.launchers.jobs import Job
from dynsweep.sweep.outcomes import RunFailed, missing, recorded
from dynsweep.sweep.progress import Progress
from dynsweep.sweep.runner import run_jobs
from dynsweep.training.driver import Preempted

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2


@dataclass
class Member:
    """A worker process, and where it says what."""

    share: Share
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def reason(self) -> str:
        """Why a worker that did not end well has left runs undone."""
        status = Status.read(self.share.path)
        if status is not None and status.error:
            return f"{status.error}; log: {self.log}"
        code = self.process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"its worker {how}; log: {self.log}"


def size(jobs: Sequence[Job], workers: int | None = None) -> int:
    """How many workers train these jobs here: ``workers``, or one for each GPU that they may
    use, or one."""
    if workers is None:
        devices = {resolve_device(str(job.config["device"])) for job in jobs}
        workers = len(visible_gpus()) if "cuda" in devices else 1
    return max(1, min(workers, len(jobs)))


def train(share: Share, stop: Callable[[], bool], progress: Callable[[int], Progress]) -> None:
    """Train a share in this process, or in one process for each of the GPUs here."""
    count = size(share.jobs)
    if count == 1:
        run_jobs(share.jobs, share.directory, share.label, stop, progress)
        return
    folder = share.path.with_suffix(".workers")
    before = [Share.read(path) for path in sorted(folder.glob("[0-9][0-9][0-9][0-9].json"))]
    # A task that comes back deals as before: then each worker finds its own records and state.
    if len(before) != count:
        folder.mkdir(exist_ok=True)
        parts = _parts(share.jobs, count)
        before = write_shares(share.directory, folder, share.label, parts)
    reasons = _employ(before, stop, progress)
    if reasons:
        raise RuntimeError("; ".join(dict.fromkeys(reasons.values())))


def run_together(
    jobs: Sequence[Job], directory: str | Path, workers: int | None = None
) -> list[Any]:
    """As :func:`dynsweep.sweep.runner.run_jobs`, with a worker process for each GPU.

    Args:
        jobs: composed jobs.
        directory: of the sweep.
        workers: processes; one for each GPU that the runs may use if not given.
    """
    count = size(jobs, workers)
    if count == 1:
        return run_jobs(jobs, directory)
    todo = missing(jobs, directory)
    log.info("%d of %d runs are to be trained", len(todo), len(jobs))
    reasons: dict[str, str] = {}
    if todo:
        folder = new_launch(Path(directory))
        parts = _parts([jobs[place] for place in todo], count)
        shares = write_shares(Path(directory), folder, f"{folder.name}-", parts)
        reasons = _employ(shares, lambda: False, Progress)
    why = {place: reasons.get(_name(jobs[place])) for place in todo}
    return lost(recorded(jobs, directory), why)


def lost(results: list[Any], why: dict[int, str | None]) -> list[Any]:
    """Results with an error in the place of every run that left none."""
    return [
        RunFailed(why.get(place) or "left no record") if result is None else result
        for place, result in enumerate(results)
    ]


def _name(job: Job) -> str:
    return f"#{job.number}"


def _parts(jobs: Sequence[Job], count: int) -> list[list[Job]]:
    parts = deal([run_config(job.config) for job in jobs], Dealing(tasks=count))
    return [[jobs[place] for place in part] for part in parts]


def _employ(
    shares: Sequence[Share], stop: Callable[[], bool], progress: Callable[[int], Progress]
) -> dict[str, str]:
    """A worker for each share; why each job of a worker that died may be missing.

    Raises:
        Preempted: ``stop`` returned true, and every worker has stopped.
    """
    runs = sum(len(share.jobs) for share in shares)
    log.info("%d runs on %d workers; logs: %s/*.log", runs, len(shares), shares[0].path.parent)
    with _crew(shares) as members, progress(runs) as counter:
        asked = False
        while any(member.process.poll() is None for member in members):
            time.sleep(POLL_SECONDS)
            said = [Status.read(share.path) for share in shares]
            counter.advance(sum(one.done for one in said if one) - counter.done)
            if stop() and not asked:
                asked = True
                for member in members:
                    member.process.send_signal(STOP_SIGNAL)
        codes = [member.process.returncode for member in members]
        if REQUEUE in codes:
            raise Preempted
    reasons = {}
    for member, code in zip(members, codes, strict=True):
        if code != 0:
            log.error("%d runs may be missing: %s", len(member.share.jobs), member.reason)
            reasons.update({_name(job): member.reason for job in member.share.jobs})
    return reasons


@contextmanager
def _crew(shares: Sequence[Share]) -> Iterator[list[Member]]:
    """Start a worker for each share; none outlives the block."""
    gpus = visible_gpus()
    threads = max(1, available_threads() // len(shares))
    members: list[Member] = []
    try:
        for index, share in enumerate(shares):
            variables = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            if gpus:
                variables["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
            path = share.path.with_suffix(".log")
            command = [sys.executable, "-m", "dynsweep.cluster.worker", str(share.path)]
            with open(path, "ab") as file:
                # A session of its own: Ctrl-C reaches this process, which then ends them.
                process = subprocess.Popen(
                    command, env=variables, stdout=file, stderr=file, start_new_session=True
                )
            members.append(Member(share, process, path))
        yield members
    finally:
        for member in members:
            if member.process.poll() is None:
                member.process.terminate()
        for member in members:
            member.process.wait()
