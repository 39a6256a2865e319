"""How far a sweep is, for ``dynsweep-status DIR``: from files, and from Slurm."""

import math
import time
from collections import Counter
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dynsweep.cluster.commands import states
from dynsweep.cluster.estimate import seconds_left
from dynsweep.cluster.monitor import GONE, TaskState
from dynsweep.cluster.shards import Shard, Submission, WorkerStatus, read_submissions
from dynsweep.config import Run
from dynsweep.config.labels import duration
from dynsweep.errors import SlurmError
from dynsweep.store import FAILED, FINISHED, Damaged, SweepPaths
from dynsweep.store.damage import left_out
from dynsweep.store.reading import count, read_file
from dynsweep.sweep.claims import Claim, Claims

MOST_TASKS = 30  # listed one by one
STARTING_SECONDS = 30.0  # from the start of a command to its first batch, at most
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


def report(directory: Path, grid: Sequence[Run] | None = None, command: str = "") -> str:
    """Counts of runs by state, who is at work, when it should end, and unfinished tasks.

    Args:
        directory: of the sweep.
        grid: the runs of its command, if they are known.
        command: what to type to go on.
    """
    records: dict[str, dict[str, Any]] = {}
    for path in SweepPaths(directory).records():
        count(read_file(path, torn=False), records)  # one is perhaps written just now
    runs = {run.settings.identity(): run for run in grid or ()}
    claims = Claims(directory).others(remove=False)
    claimed = {run for claim in claims for run in claim.runs}
    claimed = {run for run in claimed if run not in records or records[run]["status"] == FAILED}
    unfinished, note = _unfinished(directory, records.keys())
    counted = records.keys() - claimed
    counts = Counter(records[run]["status"] for run in counted if grid is None or run in runs)
    waiting = runs.keys() - records.keys() if grid else set()
    # A run that is in several tasks counts once.
    for word in ("running", "pending", "missing"):
        found = {run for task in unfinished if task.word == word for run in task.left}
        found |= {"running": claimed, "missing": waiting}.get(word, set())
        counts[word] = len(found - counted)
        counted |= found
    words = (*FINISHED, FAILED, "running", "pending", "missing")
    text = ", ".join(f"{counts[word]:,} {word}" for word in words if counts[word]) or "no runs yet"
    if grid is not None:
        text += f"; {_runs(len(runs))} in the grid"
        if others := len(records.keys() - runs.keys()):
            text += f", and {others:,} recorded of another"
    lines = [f"{directory}: {text}", *([note] if note else [])]
    lines += _at_work(claims)
    again = {run for run in runs if runs[run].settings.retry_failed}
    todo = {run for run in again & records.keys() if records[run]["status"] == FAILED}
    todo |= counted - records.keys()
    if grid is not None and todo:
        left = seconds_left(runs, todo, records, claims)
        alive = bool(claims) or any(task.state.alive for task in unfinished)
        lines += _end(left, alive, directory, command)
    if unfinished:
        lines += ["Tasks that have not finished:", *map(str, unfinished[:MOST_TASKS])]
    if len(unfinished) > MOST_TASKS:
        lines.append(f"  and {len(unfinished) - MOST_TASKS:,} more")
    return "\n".join(lines)


def _at_work(claims: Sequence[Claim]) -> list[str]:
    """A line for each process that trains a batch here now."""
    lines = []
    for claim in sorted(claims, key=lambda claim: claim.since)[:MOST_TASKS]:
        runs = len(claim.runs)
        line = f"  {claim.owner}: {_runs(runs)}, {claim.done / max(1, runs):.0%} done"
        if claim.since:
            line += f", for {duration(max(0, time.time() - claim.since))}"
        lines.append(line)
    return ["At work now:", *lines] if lines else []


def _end(left: float | None, alive: bool, directory: Path, command: str) -> list[str]:
    """When what is at work should end; or how to go on, if nothing is."""
    about = "" if left is None else f"about {duration(left)}"
    if not alive:
        text = f"Nothing is at work{about and f'; what is left takes {about}'}."
        if (begun := _begun(directory)) < STARTING_SECONDS:
            text += f" (A command began {duration(begun)} ago: it may still be starting.)"
        return [text] + [f"To go on: {command}"] * bool(command)
    if left is None:
        return ["No run has taken any time yet: when it ends is not known."]
    end = datetime.now() + timedelta(seconds=left)
    return [f"Ends in {about}, at {end:%H:%M} on {end:%Y-%m-%d}, at the pace so far."]


def _begun(directory: Path) -> float:
    """How many seconds ago a command began here that has trained nothing yet; else infinite."""
    paths = SweepPaths(directory)
    if not paths.claims.exists():  # one that was killed leaves its claim
        with suppress(OSError):
            return max(0.0, time.time() - paths.multirun.stat().st_mtime)
    return math.inf


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"


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
            silent = time.time() - status.updated > SILENT_SECONDS
            # On this machine nobody takes up again what was stopped, but the next command.
            if submission.scheduler == "local" and (silent or status.state == "requeued"):
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
