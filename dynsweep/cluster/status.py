"""How far a sweep is, for ``dynsweep-aggregate DIR --status``: from files, and from Slurm."""

import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from dynsweep.cluster.commands import states
from dynsweep.cluster.monitor import GONE, TaskState
from dynsweep.cluster.shards import Shard, Submission, WorkerStatus, read_submissions
from dynsweep.config.labels import duration
from dynsweep.errors import SlurmError
from dynsweep.store import FAILED, FINISHED, Damaged, latest
from dynsweep.store.damage import left_out

MOST_TASKS = 30  # listed one by one
SILENT_SECONDS = 60.0  # a process of this machine is not asked: if it says nothing, it is gone


@dataclass
class _Unfinished:
    """A task whose shard has runs without a record, ``left``, by identity."""

    submission: Submission
    status: WorkerStatus | None
    left: set[str]
    state: TaskState

    @property
    def word(self) -> str:
        """What its runs count as."""
        if not self.state.alive:
            return "missing"
        return "pending" if self.state.text.startswith("pending") else "running"

    def __str__(self) -> str:
        task, done = self.submission, self.status.done if self.status else 0
        line = f"  {task.job:>12}  {self.state.text:24} {done:8.1f} of {task.runs} runs"
        if self.status is not None:
            ago = duration(max(0, time.time() - self.status.updated))
            line += f", heard of {ago} ago"
        return f"{line}  {task.log}"


def report(directory: Path) -> str:
    """Counts of runs by state, and the tasks that have not finished."""
    records = {run: record["status"] for run, record in latest(directory).items()}
    unfinished, note = _unfinished(directory, records.keys())
    counts = Counter(records.values())
    counted: set[str] = set()  # a run that is in several tasks counts once
    for word in ("running", "pending", "missing"):
        runs = {run for task in unfinished if task.word == word for run in task.left}
        counts[word] = len(runs - counted)
        counted |= runs
    words = (*FINISHED, FAILED, "running", "pending", "missing")
    text = ", ".join(f"{counts[word]:,} {word}" for word in words if counts[word])
    lines = [f"{directory}: {text or 'no runs yet'}", *([note] if note else [])]
    if unfinished:
        lines += ["Tasks that have not finished:", *map(str, unfinished[:MOST_TASKS])]
    if len(unfinished) > MOST_TASKS:
        lines.append(f"  and {len(unfinished) - MOST_TASKS:,} more")
    return "\n".join(lines)


def _unfinished(directory: Path, recorded: Set[str]) -> tuple[list[_Unfinished], str]:
    """Unfinished tasks of all launches; a note if Slurm could not be asked."""
    unfinished = []
    for submission in read_submissions(directory):
        status = WorkerStatus.read(submission.shard)
        state = TaskState("pending", alive=True)
        if status is not None:
            if status.state == "finished":
                continue
            state = TaskState(status.state, alive=status.state != "failed")
            if submission.scheduler == "local" and time.time() - status.updated > SILENT_SECONDS:
                state = GONE
        try:
            left = Shard.read(submission.shard).identities() - recorded
        except Damaged as damaged:
            left_out(damaged, "the runs of this task are not counted")
            continue
        if left:
            unfinished.append(_Unfinished(submission, status, left, state))
    asked = [task for task in unfinished if task.submission.scheduler == "slurm"]
    try:
        known = states(task.submission.job for task in asked) if asked else {}
    except SlurmError as error:
        note = f"Slurm could not be asked ({error}): states are what tasks last said."
        return unfinished, note
    for task in asked:
        task.state = known.get(task.submission.job, GONE)
    return unfinished, ""
