"""Follow tasks to their end: progress, failures and deaths as they come."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from dynsweep.cluster.executors import Pool, Task
from dynsweep.cluster.shards import Share, Status
from dynsweep.cluster.slurm import SlurmError, TaskState
from dynsweep.store.records import FINISHED, read
from dynsweep.sweep.progress import Progress

log = logging.getLogger(__name__)

# A file that a task wrote last may show late on another machine.
GRACE_SECONDS = 10.0
SUMMARY_SECONDS = 10.0
ENDINGS = {
    "CANCELLED": "was cancelled",
    "TIMEOUT": "ran out of time",
    "DEADLINE": "ran out of time",
    "OUT_OF_MEMORY": "ran out of memory",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "lost its node",
    "PREEMPTED": "was preempted",
    "FAILED": "died",
    "COMPLETED": "ended early",
}


class Watch:
    """Watches tasks of one pool until none is alive.

    Args:
        pool: where they run.
        tasks: all of them.
        stall_minutes: a running task that has got no further for so long is told of.
        changed: called when a task got its job id.
    """

    def __init__(
        self,
        pool: Pool,
        tasks: Sequence[Task],
        stall_minutes: float,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.pool, self.tasks = pool, tasks
        self.stall_seconds = 60 * stall_minutes
        self.changed = changed
        #: why each ended task may have left runs undone, by share
        self.reasons: dict[str, str] = {}
        self._open = {task.share: task for task in tasks}
        self._states: dict[str, TaskState] = {}
        self._seen: dict[str, Status] = {}
        self._moved: dict[str, float] = {}  # when a task was last seen to get further
        self._dead: dict[str, float] = {}  # when a task was first seen dead
        self._stalled: set[str] = set()
        self._summary: tuple[float, str] = (float("-inf"), "")
        self._unheard = False

    def run(self) -> None:
        """Return when all tasks have ended."""
        started = time.monotonic()
        with Progress(sum(task.runs for task in self.tasks)) as progress:
            while self._open:
                jobs = [task.job for task in self.tasks]
                self._ask()
                if jobs != [task.job for task in self.tasks]:
                    self.changed()
                for task in list(self._open.values()):
                    self._look(task)
                done = sum(status.done for status in self._seen.values())
                progress.advance(done - progress.done)
                self._summarise()
                if self._open:
                    time.sleep(min(10.0, max(0.5, (time.monotonic() - started) / 20)))

    def _ask(self) -> None:
        try:
            self._states = self.pool.states(list(self._open.values()))
            self._unheard = False
        except SlurmError as error:
            # The tasks go on whether or not their controller answers.
            if not self._unheard:
                log.warning("%s; asking again", error)
            self._unheard = True

    def _look(self, task: Task) -> None:
        share, now = task.share, time.monotonic()
        status, before = Status.read(Path(share)), self._seen.get(share)
        if status is not None:
            for line in status.errors[len(before.errors) if before else 0 :]:
                log.error("Task %s: %s", task.job, line)
            if before is None or status.updated != before.updated:
                self._moved[share] = now
                self._stalled.discard(share)
            self._seen[share] = status
        state = self._states.get(share)
        if status is not None and status.state == "finished":
            del self._open[share]
        elif self._unheard or (state is not None and state.alive):
            self._dead.pop(share, None)
            if state is not None and state.state == "RUNNING":
                self._check_pace(task, now)
        elif now - self._dead.setdefault(share, now) >= self._patience(state):
            self._bury(task, state, status)

    def _patience(self, state: TaskState | None) -> float:
        return 0.0 if state is not None and state.state == "CANCELLED" else GRACE_SECONDS

    def _check_pace(self, task: Task, now: float) -> None:
        since = now - self._moved.setdefault(task.share, now)
        if since > self.stall_seconds and task.share not in self._stalled:
            self._stalled.add(task.share)
            log.warning(
                "Task %s has got no further for %.0f minutes; log: %s",
                task.job, since / 60, task.log,
            )  # fmt: skip

    def _bury(self, task: Task, state: TaskState | None, status: Status | None) -> None:
        del self._open[task.share]
        ending = "is gone" if state is None else ENDINGS.get(state.state, state.state.lower())
        why = f"task {task.job} {ending}"
        if status is not None and status.state == "failed" and status.error:
            why += f" ({status.error})"
        self.reasons[task.share] = f"{why}; log: {task.log}"
        share = Share.read(task.share)
        entries = read(share.directory, share.label)
        done = {entry["id"] for entry in entries if entry["status"] in FINISHED}
        left = len(share.jobs) - len(done)
        numbers = sorted(job.number for job in share.jobs)
        log.error(
            "%s%s: %d of its %d runs (#%d to #%d) are missing; log: %s",
            why[0].upper(), why[1:], left, len(share.jobs), numbers[0], numbers[-1], task.log,
        )  # fmt: skip

    def _summarise(self) -> None:
        counts: Counter[str] = Counter()
        for share in self._open:
            state = self._states.get(share)
            if state is None or not state.alive:
                counts["ending"] += 1
            elif state.state == "PENDING":
                counts[f"pending ({state.reason})" if state.reason else "pending"] += 1
            else:
                counts["running"] += 1
        counts["finished"] = len(self.tasks) - len(self._open) - len(self.reasons)
        counts["lost"] = len(self.reasons)
        text = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()) if n)
        now = time.monotonic()
        if text != self._summary[1] and (
            now - self._summary[0] >= SUMMARY_SECONDS or not self._open
        ):
            self._summary = (now, text)
            log.info("Tasks: %s", text)
