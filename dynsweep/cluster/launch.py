"""A sweep on a cluster: what is missing is dealt to tasks, which are submitted and watched."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dynsweep.cluster.executors import LocalPool, Pool, SlurmPool, Task
from dynsweep.cluster.launches import TASKS, earlier
from dynsweep.cluster.sharding import Dealing, deal
from dynsweep.cluster.shards import Share, new_launch, write_json, write_shares
from dynsweep.cluster.slurm import SlurmError
from dynsweep.cluster.watch import Watch
from dynsweep.cluster.workers import lost
from dynsweep.config import run_config
from dynsweep.engines.devices import available_threads
from dynsweep.errors import ConfigError
from dynsweep.launchers.jobs import Job
from dynsweep.sweep.outcomes import missing, recorded

log = logging.getLogger(__name__)

POOLS: dict[str, type[SlurmPool] | type[LocalPool]] = {"slurm": SlurmPool, "local": LocalPool}
DEALING = ("tasks", "runs_per_task", "minutes_per_task")
OURS = (*DEALING, "detach", "on_interrupt", "stall_minutes")
INTERRUPTS = ("cancel", "detach")


def run_on(
    kind: str, jobs: Sequence[Job], directory: str | Path, settings: Mapping[str, Any]
) -> list[Any]:
    """As :func:`dynsweep.sweep.runner.run_jobs`, in tasks of a pool.

    Args:
        kind: ``slurm`` or ``local``.
        jobs: composed and checked jobs.
        directory: of the sweep; all tasks write there.
        settings: of the launcher.

    Returns:
        In the order of ``jobs``: objective or ``RunFailed``; ``None`` for runs that detached
        tasks are still to train.

    Raises:
        ConfigError: the pool would not take such tasks; none was submitted.
    """
    return Sweep(kind, jobs, Path(directory), settings).run()


class Sweep:
    """One launch of a sweep in a pool."""

    def __init__(
        self, kind: str, jobs: Sequence[Job], directory: Path, settings: Mapping[str, Any]
    ) -> None:
        self.jobs, self.directory, self.settings = jobs, directory, settings
        if settings["on_interrupt"] not in INTERRUPTS:
            allowed = f"must be one of {', '.join(INTERRUPTS)}"
            raise ConfigError("hydra.launcher.on_interrupt", settings["on_interrupt"], allowed)
        self.dealing = _dealing(settings)
        self.dealing.check()
        self.pool: Pool = POOLS[kind]({k: v for k, v in settings.items() if k not in OURS})
        self.tasks: list[Task] = []
        self.why: dict[int, str | None] = {}

    def run(self) -> list[Any]:
        runs = [run_config(job.config) for job in self.jobs]
        todo = missing(self.jobs, self.directory)
        held = len({run.identity() for run in runs}) - len(todo)
        if held:
            log.info("%d of %d runs are in %s already", held, len(self.jobs), self.directory)
        before = earlier(self.directory, self.pool) if todo else []
        # Runs by identity that tasks of an earlier launch are still to train.
        theirs = {
            run_config(job.config).identity(): task.share
            for task in before
            for job in Share.read(task.share).jobs
        }
        owner = {p: theirs[runs[p].identity()] for p in todo if runs[p].identity() in theirs}
        if owner:
            log.info("%d runs are in %d tasks of an earlier launch", len(owner), len(before))
        fresh = [place for place in todo if place not in owner]
        if fresh:
            self.pool.check()
            owner.update(self._submit(fresh, [runs[place] for place in fresh]))
        if self.settings["detach"]:
            log.info(
                "Left to themselves. How they are: dynsweep-aggregate %s --status", self.directory
            )
            return recorded(self.jobs, self.directory)
        watched = [*(t for t in before if t.share in owner.values()), *self.tasks]
        self._watch(watched, owner)
        return lost(recorded(self.jobs, self.directory), self.why)

    def _submit(self, places: Sequence[int], runs: Sequence[Any]) -> dict[int, str]:
        """Submit the jobs at ``places``; the share of each."""
        parts = [[places[one] for one in part] for part in deal(runs, self.dealing)]
        if self.settings["detach"] and len(parts) > self.pool.most_detached():
            allowed = f"{len(parts)} tasks; some would never get their turn: "
            allowed += f"needs hydra.launcher.array_parallelism={len(parts)} or fewer tasks"
            raise ConfigError("hydra.launcher.detach", True, allowed)
        self.folder = new_launch(self.directory)
        shares = write_shares(
            self.directory,
            self.folder,
            f"{self.folder.name}-",
            [[self.jobs[place] for place in part] for part in parts],
        )
        owner = {
            place: str(share.path)
            for share, part in zip(shares, parts, strict=True)
            for place in part
        }
        try:
            for tasks in self.pool.submit([(share.path, len(share.jobs)) for share in shares]):
                self.tasks += tasks
                self._note()
        except SlurmError as error:
            if not self.tasks:
                raise ConfigError(
                    "hydra/launcher", "fused_slurm", f"nothing was submitted: {error}"
                ) from None
            log.error("%d of %d tasks submitted: %s", len(self.tasks), len(shares), error)
            submitted = {task.share for task in self.tasks}
            text = f"its task was not submitted: {error}"
            self.why.update({p: text for p, share in owner.items() if share not in submitted})
        jobs = sorted({task.job.partition("_")[0] for task in self.tasks if task.job})
        log.info(
            "%d runs in %d tasks of up to %d runs; %s %s",
            len(places), len(self.tasks), max(map(len, parts)), _PLACE[self.pool.name],
            ", ".join(jobs),
        )  # fmt: skip
        return owner

    def _note(self) -> None:
        """Who trains what, for later launches and for ``--status``."""
        if self.tasks:
            write_json(
                self.folder / TASKS,
                {
                    "pool": self.pool.name,
                    "submitted": datetime.now(UTC).isoformat(timespec="seconds"),
                    "command": sys.argv,
                    "tasks": [task.plain() for task in self.tasks],
                },
            )

    def _watch(self, tasks: Sequence[Task], owner: Mapping[int, str]) -> None:
        watch = Watch(self.pool, tasks, self.settings["stall_minutes"], self._note)
        try:
            watch.run()
        except KeyboardInterrupt:
            self._interrupted(tasks)
            raise
        self.why.update(
            {
                place: watch.reasons[share]
                for place, share in owner.items()
                if share in watch.reasons
            }
        )

    def _interrupted(self, tasks: Sequence[Task]) -> None:
        if self.settings["on_interrupt"] == "detach":
            log.warning(
                "The tasks go on. How they are: dynsweep-aggregate %s --status", self.directory
            )
            return
        jobs = sorted({task.job.partition("_")[0] for task in tasks if task.job})
        try:
            self.pool.cancel(tasks)
            log.warning("Asked for the end of %s %s", _PLACE[self.pool.name], ", ".join(jobs))
        except SlurmError as error:
            log.error("Could not cancel %s: %s", ", ".join(jobs), error)


_PLACE = {"slurm": "Slurm job", "local": "process"}


def _dealing(settings: Mapping[str, Any]) -> Dealing:
    return Dealing(
        **{name: settings[name] for name in DEALING},
        default_minutes=settings["timeout_min"] / 2,
        threads=settings["cpus_per_task"] or available_threads(),
        gpus=settings["gpus_per_node"] or 0,
    )
