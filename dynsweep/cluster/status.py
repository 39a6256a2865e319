"""How a sweep stands, for ``dynsweep-aggregate DIR --status``: from files, and from Slurm."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dynsweep.cluster.executors import Task, alive, by_share
from dynsweep.cluster.launches import launches
from dynsweep.cluster.shards import Share, Status
from dynsweep.cluster.slurm import SlurmError, TaskState, states
from dynsweep.config import run_config
from dynsweep.config.labels import duration
from dynsweep.store.records import FAILED, FINISHED, read

MOST_TASKS = 30  # told one by one


@dataclass
class Standing:
    """A task that has not finished its share."""

    task: Task
    state: str
    status: Status | None

    @property
    def left(self) -> int:
        """Runs that are not done."""
        return self.task.runs - int(self.status.done if self.status else 0)

    def line(self) -> str:
        """Job, state, how far, and where to read more."""
        done = self.status.done if self.status else 0
        line = (
            f"  {self.task.job or '-':>12}  {self.state:24} {done:8.1f} of {self.task.runs} runs"
        )
        if self.status is not None:
            line += f", heard of {duration(max(0, time.time() - self.status.updated))} ago"
        return f"{line}  {self.task.log}"


def report(directory: Path) -> str:
    """Counts of runs by state, and the tasks that have not finished."""
    found: dict[str, str] = {}
    for entry in read(directory):
        if entry["status"] in FINISHED or entry["id"] not in found:
            found[entry["id"]] = entry["status"]
    standings, note = _standings(directory)
    counts = Counter(found.values())
    lost: set[str] = set()
    for one in standings:
        if one.state.startswith(("running", "pending")):
            counts[one.state.split()[0]] += one.left
        else:
            lost |= _runs(one.task) - found.keys()
    counts["missing"] = len(lost - _expected(standings)) if lost else 0
    names = (*FINISHED, FAILED, "running", "pending", "missing")
    told = ", ".join(f"{counts[name]:,} {name}" for name in names if counts[name]) or "no runs yet"
    lines = [f"{directory}: {told}"]
    if note:
        lines.append(note)
    if standings:
        lines.append("Tasks that have not finished:")
        lines += [one.line() for one in standings[:MOST_TASKS]]
        if len(standings) > MOST_TASKS:
            lines.append(f"  and {len(standings) - MOST_TASKS:,} more")
    return "\n".join(lines)


def _standings(directory: Path) -> tuple[list[Standing], str]:
    """Unfinished tasks of all launches; a note if Slurm could not be asked."""
    open_tasks: dict[str, list[tuple[Task, Status | None]]] = {"slurm": [], "local": []}
    for _, launch in launches(directory):
        for task in (Task(**plain) for plain in launch["tasks"]):
            status = Status.read(Path(task.share))
            if status is None or status.state != "finished":
                open_tasks[launch["pool"]].append((task, status))
    note, known = "", {}
    if open_tasks["slurm"]:
        tasks = [task for task, _ in open_tasks["slurm"]]
        try:
            known = by_share(tasks, states(task.job for task in tasks))
        except SlurmError as error:
            note = f"Slurm could not be asked ({error}): states are what tasks last said."
    standings = []
    for pool, tasks_here in open_tasks.items():
        for task, status in tasks_here:
            asked = not note if pool == "slurm" else True
            state = known.get(task.share)
            if pool == "local" and task.job and alive(task.job):
                state = TaskState("RUNNING")
            standings.append(Standing(task, _word(state, status, asked), status))
    return standings, note


def _word(state: TaskState | None, status: Status | None, asked: bool) -> str:
    if state is not None:
        reason = state.reason if state.state == "PENDING" and state.reason != "None" else ""
        return f"{state.state.lower()}{f' ({reason})' if reason else ''}"
    if asked:
        return "gone"
    return status.state if status is not None else "pending"


def _runs(task: Task) -> set[str]:
    """Identities of a task's runs."""
    return {run_config(job.config).identity() for job in Share.read(task.share).jobs}


def _expected(standings: list[Standing]) -> set[str]:
    """Runs that tasks which are alive will still bring."""
    found: set[str] = set()
    for one in standings:
        if one.state.startswith(("running", "pending")):
            found |= _runs(one.task)
    return found
