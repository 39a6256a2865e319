"""Follow tasks to their end: progress, failures and deaths as they come."""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dynsweep.cluster.deaths import Death, Deaths, death
from dynsweep.cluster.shards import Shard, Submission, WorkerStatus, arrays
from dynsweep.errors import SlurmError, SweepFailed
from dynsweep.sweep.progress import Progress

log = logging.getLogger(__name__)

SUMMARY_SECONDS = 10.0
OUTAGE_SECONDS = 60.0  # from one line about an outage to the next
AWAY_SECONDS = 15.0  # a directory that is not there for so long has been removed
SUBMIT_PAUSE = 0.1  # while tasks are being submitted
# Why Slurm keeps a task back until someone lets it go.
HELD = re.compile(r"JobHeld|JobHold|held|requeue_hold|special_exit", re.IGNORECASE)


@dataclass(frozen=True)
class TaskState:
    """How a task is (``pending (Priority)``, ``was cancelled``), and whether it runs or will."""

    text: str
    alive: bool


GONE = TaskState("is gone", alive=False)
NEW = TaskState("submitted", alive=True)


class Executor(Protocol):
    """Starts a worker for each shard, in a task, and tells how the tasks are."""

    grace: float  # seconds after its end in which what a task wrote last may still show
    pause: float  # most seconds between two looks at the tasks

    def submit(self, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
        """Submit shards, in several parts where it must."""

    def states(self, jobs: Iterable[str]) -> dict[str, TaskState]:
        """By job; absent is what is not known, or no longer. Raises :class:`SlurmError`."""


@dataclass
class _Followed:
    """A task that has not ended, and what is known of it; times by the monotonic clock."""

    submission: Submission
    state: TaskState = NEW
    status: WorkerStatus = field(default_factory=WorkerStatus)
    moved: float = field(default_factory=time.monotonic)  # when last seen to get further
    stalled: bool = False  # and has been named for it
    dead: float | None = None  # since when


class Monitor:
    """Follows tasks until all have ended; a running one that has got no further for
    ``stall_minutes`` is named.

    Attributes:
        reasons: why a task that is dead may have left runs undone, by its shard.
    """

    def __init__(
        self,
        submissions: Sequence[Submission],
        executor: Executor,
        stall_minutes: float = float("inf"),
    ) -> None:
        self.executor, self.stall_seconds = executor, 60 * stall_minutes
        self.reasons: dict[Path, str] = {}
        self._all = [_Followed(submission) for submission in submissions]
        self._open = list(self._all)
        self._answered = True
        self._outage = float("-inf")  # when the last one was named
        self._ended = True  # and whether its end was
        self._held: set[str] = set()
        self._deaths = Deaths()
        self._dead: list[Death] = []  # not yet named
        self._dead_since = 0.0
        self._submitting = False
        self._there = time.monotonic()  # when the directory was seen last
        self._summary: tuple[float, str] = (float("-inf"), "")

    def run(
        self,
        progress: Callable[[int], Progress] = Progress,
        coming: Iterable[list[Submission]] = (),
        runs: int = 0,
    ) -> None:
        """Return when all tasks have ended.

        Args:
            progress: makes what counts the runs, from their number.
            coming: tasks that are being submitted, as they come; nothing while it takes time.
            runs: that those will train.
        """
        started, due = time.monotonic(), 0.0
        coming = iter(coming)
        with progress(runs + self._runs()) as counter:
            while True:
                new = next(coming, None)
                self._submitting = new is not None
                followed = [_Followed(submission) for submission in new or ()]
                self._all += followed
                self._open += followed
                if new is None and runs:
                    runs = 0
                    counter.expect(self._runs())
                if new:
                    continue  # there may be more at once
                now = time.monotonic()
                if self._open and now >= due:
                    self.look()
                    counter.advance(sum(task.status.done for task in self._all) - counter.done)
                    now = time.monotonic()
                    due = now + min(self.executor.pause, max(0.2, (now - started) / 20))
                if new is None and not self._open:
                    return
                time.sleep(max(0.0, due - now) if new is None else SUBMIT_PAUSE)

    @property
    def followed(self) -> bool:
        """Whether there was any task."""
        return bool(self._all)

    def _runs(self) -> int:
        return sum(task.submission.runs for task in self._all)

    def look(self) -> None:
        """See once how all tasks are."""
        states = self._ask()
        now = time.monotonic()
        self._raise_if_removed(now)
        for task in list(self._open):
            if states is not None:
                task.state = states.get(task.submission.job, GONE)
            self._read_status(task, now)
            if task.status.state == "finished":
                self._open.remove(task)
            elif task.state.alive or states is None:
                task.dead = None
                self._name_if_stalled(task, now)
            else:
                task.dead = now if task.dead is None else task.dead
                if now - task.dead >= self.executor.grace:
                    self._open.remove(task)
                    self._dead_since = self._dead_since if self._dead else now
                    self._dead.append(self._death(task))
        self._name_dead(now)
        self._name_held()
        self._summarise(now)

    def _ask(self) -> dict[str, TaskState] | None:
        """How tasks are; ``None`` without an answer. They go on whether or not there is one."""
        try:
            states = self.executor.states([task.submission.job for task in self._open])
        except SlurmError as error:
            now = time.monotonic()
            # One that comes and goes is one.
            if self._answered and self._ended and now - self._outage > OUTAGE_SECONDS:
                log.warning("%s; the tasks go on; asking again", error)
                self._outage, self._ended = now, False
            self._answered = False
            return None
        if not self._answered and not self._ended:
            log.warning("Slurm answers again, after %.0f s", time.monotonic() - self._outage)
            self._ended = True
        self._answered = True
        return states

    def _raise_if_removed(self, now: float) -> None:
        """Raise :class:`SweepFailed` where the sweep's directory has gone: no task can work."""
        folders = {task.submission.shard.parent for task in self._open}
        if any(folder.is_dir() for folder in folders):
            self._there = now
        elif now - self._there > AWAY_SECONDS:
            jobs = arrays(task.submission.job for task in self._open)
            text = "%s: is no longer there, and its tasks cannot work; to end them: scancel %s"
            raise SweepFailed(text % (min(folders).parents[1], " ".join(jobs)))

    def _read_status(self, task: _Followed, now: float) -> None:
        status = WorkerStatus.read(task.submission.shard) or task.status
        for line in status.errors[len(task.status.errors) :]:
            log.error("Task %s: %s", task.submission.job, line)
        if status.updated != task.status.updated or task.state.text != "running":
            task.moved, task.stalled = now, False
        task.status = status

    def _name_if_stalled(self, task: _Followed, now: float) -> None:
        still, submission = now - task.moved, task.submission
        if still > self.stall_seconds and not task.stalled:
            task.stalled = True
            text = "Task %s has got no further for %.0f minutes; log: %s"
            log.warning(text, submission.job, still / 60, submission.log)

    def _name_dead(self, now: float) -> None:
        """Together with those that are about to be found dead, if that does not take long."""
        dying = any(task.dead is not None for task in self._open)
        if not dying or now - self._dead_since > 2 * self.executor.grace:
            self._deaths.name(self._dead)
            self._dead = []

    def _name_held(self) -> None:
        """Say once of tasks that wait for someone what they wait for."""
        if self._submitting:  # there may be more
            return
        held = {
            task.submission.job: task.state.text
            for task in self._open
            if task.state.alive and HELD.search(task.state.text)
        }
        if new := held.keys() - self._held:
            self._held |= new
            jobs, how = arrays(new), held[min(new)]
            text = (
                "Tasks that are %s wait until they are released, %d of them: scontrol release %s"
            )
            log.warning(text, how, len(new), ",".join(jobs))

    def _death(self, task: _Followed) -> Death:
        error = task.status.error if task.status.state == "failed" else ""
        one = death(task.submission, task.state.text, error)
        self.reasons[task.submission.shard] = (
            f"task {task.submission.job} {one.how}; log: {task.submission.log}"
        )
        return one

    def _summarise(self, now: float) -> None:
        counts: Counter[str] = Counter(lost=len(self.reasons))
        counts["finished"] = len(self._all) - len(self._open) - len(self.reasons)
        counts.update(task.state.text if task.state.alive else "ending" for task in self._open)
        text = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()) if n)
        due = now - self._summary[0] >= SUMMARY_SECONDS or not self._open
        if text != self._summary[1] and due:
            self._summary = (now, text)
            log.info("Tasks: %s", text)
