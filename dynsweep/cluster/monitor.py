"""Follow tasks to their end: progress, failures and deaths as they come."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dynsweep.cluster.shards import Shard, Submission, WorkerStatus
from dynsweep.errors import SlurmError
from dynsweep.sweep.outcomes import Outcomes
from dynsweep.sweep.progress import Progress

log = logging.getLogger(__name__)

SUMMARY_SECONDS = 10.0


@dataclass(frozen=True)
class TaskState:
    """How a task is (``pending (Priority)``, ``was cancelled``), and whether it runs or will."""

    text: str
    alive: bool


GONE = TaskState("is gone", alive=False)


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
    state: TaskState = GONE
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
        self._summary: tuple[float, str] = (float("-inf"), "")

    def run(self, progress: Callable[[int], Progress] = Progress) -> None:
        """Return when all tasks have ended."""
        started = time.monotonic()
        with progress(sum(task.submission.runs for task in self._all)) as counter:
            while self._open:
                self.look()
                counter.advance(sum(task.status.done for task in self._all) - counter.done)
                if self._open:
                    pause = max(0.2, (time.monotonic() - started) / 20)
                    time.sleep(min(self.executor.pause, pause))

    def look(self) -> None:
        """See once how all tasks are."""
        try:
            states = self.executor.states([task.submission.job for task in self._open])
            self._answered = True
        except SlurmError as error:
            # The tasks go on whether or not their controller answers.
            if self._answered:
                log.warning("%s; asking again", error)
            self._answered = False
        now = time.monotonic()
        for task in list(self._open):
            if self._answered:
                task.state = states.get(task.submission.job, GONE)
            self._read_status(task, now)
            if task.status.state == "finished":
                self._open.remove(task)
            elif task.state.alive or not self._answered:
                task.dead = None
                self._name_if_stalled(task, now)
            else:
                task.dead = now if task.dead is None else task.dead
                if now - task.dead >= self.executor.grace:
                    self._open.remove(task)
                    self._report_death(task)
        self._summarise(now)

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

    def _report_death(self, task: _Followed) -> None:
        job, file, log_file = task.submission.job, task.submission.shard, task.submission.log
        how = task.state.text
        if task.status.state == "failed" and task.status.error:
            how += f" ({task.status.error})"
        self.reasons[file] = f"task {job} {how}; log: {log_file}"
        shard = Shard.read(file)
        results = Outcomes(shard.runs, shard.directory, shard.label).results()
        numbers = [run.number for run in shard.runs]
        log.error(
            "Task %s %s: %d of its %d runs (#%d to #%d) are missing; log: %s", job, how,
            results.count(None), len(results), min(numbers), max(numbers), log_file,
        )  # fmt: skip

    def _summarise(self, now: float) -> None:
        counts: Counter[str] = Counter(lost=len(self.reasons))
        counts["finished"] = len(self._all) - len(self._open) - len(self.reasons)
        counts.update(task.state.text if task.state.alive else "ending" for task in self._open)
        text = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()) if n)
        due = now - self._summary[0] >= SUMMARY_SECONDS or not self._open
        if text != self._summary[1] and due:
            self._summary = (now, text)
            log.info("Tasks: %s", text)
