"""What earlier launches of a sweep left behind: their tasks, and which of those are alive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynsweep.cluster.executors import Pool, Task
from dynsweep.cluster.shards import FOLDER

TASKS = "tasks.json"


def launches(directory: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folder and contents of every launch's list of tasks, the oldest first."""
    for path in sorted((directory.absolute() / FOLDER).glob(f"*/{TASKS}")):
        yield path.parent, json.loads(path.read_text())


def earlier(directory: Path, pool: Pool) -> list[Task]:
    """Tasks of earlier launches in the same pool that run, or will.

    Raises:
        SlurmError: the controller does not answer: what is missing cannot be told.
    """
    listed = [
        Task(**task)
        for _, launch in launches(directory)
        if launch["pool"] == pool.name
        for task in launch["tasks"]
    ]
    states = pool.states(listed)
    return [task for task in listed if task.share in states and states[task.share].alive]
