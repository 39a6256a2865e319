"""Follow tasks to their end: progress, failures and deaths as they come."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dynsweep.cluster.shards import Shard, Submission, WorkerStatus
from dynsweep.cluster.slurm import GONE, SlurmError, TaskState
from dynsweep.sweep.outcomes import Outcomes
from dynsweep.sweep.progress import Progress

log = logging.getLogger(__name__)

SUMMARY_SECONDS = 10.0


class Executor(Protocol):
    """Starts a worker for each shard, in a task, and tells how the tasks are.

    Attributes:
        grace: seconds after its end in which what a task wrote last may still show.
        pause: most seconds between two looks at the tasks.
    """

    grace: float
    pause: float

    def submit(self, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
        """Submit shards, in several parts where it must."""
        ...

    def states(self, submissions: Sequence[Submission]) -> dict[str, TaskState]:
        """By job; absent is what is not known, or no longer. Raises :class:`SlurmError`."""
        ...

    def cancel(self, submissions: Sequence[Submission]) -> None:
        """Ask for the end of these tasks."""
        ...


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
    """Follows tasks until all have ended.

    Args:
        submissions: the tasks.
        executor: knows their states.
        stall_minutes: a running task that has got no further for so long is named.

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
        self._all = [_Followed(one) for one in submissions]
        self._open = list(self._all)
        self._answered = True
        self._summary: tuple[float, str] = (float("-inf"), "")

    def run(self, progress: Callable[[int], Progress] = Progress) -> None:
        """Return when all tasks have ended."""
        started = time.monotonic()
        with progress(sum(one.submission.runs for one in self._all)) as counter:
            while self._open:
                self.look()
                counter.advance(sum(one.status.done for one in self._all) - counter.done)
                if self._open:
                    pause = max(0.2, (time.monotonic() - started) / 20)
                    time.sleep(min(self.executor.pause, pause))

    def look(self) -> None:
        """See once how all tasks are."""
        try:
            states = self.executor.states([one.submission for one in self._open])
            self._answered = True
        except SlurmError as error:
            # The tasks go on whether or not their controller answers.
            if self._answered:
                log.warning("%s; asking again", error)
            self._answered = False
        now = time.monotonic()
        for one in list(self._open):
            if self._answered:
                one.state = states.get(one.submission.job, GONE)
            self._read_status(one, now)
            self._judge(one, now)
        self._summarise(now)

    def _read_status(self, one: _Followed, now: float) -> None:
        status = WorkerStatus.read(one.submission.shard)
        if status is None:
            return
        for line in status.errors[len(one.status.errors) :]:
            log.error("Task %s: %s", one.submission.job, line)
        if status.updated != one.status.updated:
            one.moved, one.stalled = now, False
        one.status = status

    def _judge(self, one: _Followed, now: float) -> None:
        if one.status.state == "finished":
            self._open.remove(one)
        elif one.state.alive or not self._answered:
            one.dead = None
            if one.state.text != "running":
                one.moved = now
            elif now - one.moved > self.stall_seconds and not one.stalled:
                one.stalled = True
                log.warning(
                    "Task %s has got no further for %.0f minutes; log: %s",
                    one.submission.job, (now - one.moved) / 60, one.submission.log,
                )  # fmt: skip
        else:
            one.dead = now if one.dead is None else one.dead
            if now - one.dead >= self.executor.grace:
                self._open.remove(one)
                self._report_death(one)

    def _report_death(self, one: _Followed) -> None:
        task = one.submission
        reason = f"task {task.job} {one.state.text}"
        if one.status.state == "failed" and one.status.error:
            reason += f" ({one.status.error})"
        self.reasons[task.shard] = f"{reason}; log: {task.log}"
        shard = Shard.read(task.shard)
        results = Outcomes(shard.runs, shard.directory, shard.label).results()
        numbers = [run.number for run in shard.runs]
        log.error(
            "T%s: %d of its %d runs (#%d to #%d) are missing; log: %s", reason[1:],
            sum(result is None for result in results), len(results), min(numbers), max(numbers),
            task.log,
        )  # fmt: skip

    def _summarise(self, now: float) -> None:
        counts: Counter[str] = Counter(lost=len(self.reasons))
        counts["finished"] = len(self._all) - len(self._open) - len(self.reasons)
        for one in self._open:
            counts[one.state.text if one.state.alive else "ending"] += 1
        text = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()) if n)
        due = now - self._summary[0] >= SUMMARY_SECONDS or not self._open
        if text != self._summary[1] and due:
            self._summary = (now, text)
            log.info("Tasks: %s", text)
