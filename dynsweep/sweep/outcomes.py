"""What a sweep directory says of jobs: their results, and which are still to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dynsweep.config import RunConfig, run_config
from dynsweep.launchers.jobs import Job
from dynsweep.store.records import FAILED, latest


class RunFailed(RuntimeError):
    """A run raised; the text is its error in one line."""


def result(outcome: Mapping[str, Any], run: RunConfig) -> Any:
    """What Hydra gets to see of a run."""
    if outcome["status"] == FAILED:
        return RunFailed(outcome["error"])
    value = outcome[run.objective]
    return float("nan") if value is None else value


def recorded(jobs: Sequence[Job], directory: str | Path) -> list[Any]:
    """What ``directory`` says of each job: as :func:`run_jobs` returns it, ``None`` if nothing."""
    runs = [run_config(job.config) for job in jobs]
    entries = latest(directory)
    found = (entries.get(run.identity()) for run in runs)
    return [entry and result(entry, run) for entry, run in zip(found, runs, strict=True)]


def missing(jobs: Sequence[Job], directory: str | Path) -> list[int]:
    """Positions of the jobs that are to be trained; of equal runs the first."""
    runs = [run_config(job.config) for job in jobs]
    status = {identity: entry["status"] for identity, entry in latest(directory).items()}
    todo: dict[str, int] = {}
    for position, run in enumerate(runs):
        identity = run.identity()
        if identity not in status or (status[identity] == FAILED and run.retry_failed):
            todo.setdefault(identity, position)
    return list(todo.values())
