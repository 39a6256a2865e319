"""Where workers become tasks, through submitit: a Slurm cluster, or processes of this machine."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from dynsweep.cluster import slurm
from dynsweep.cluster.slurm import SlurmError, TaskState
from dynsweep.cluster.worker import Worker
from dynsweep.engines.devices import available_threads, visible_gpus
from dynsweep.errors import ConfigError

log = logging.getLogger(__name__)

# Settings that submitit takes under these names, whatever the executor.
COMMON = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "name", "stderr_to_stdout")


@dataclass
class Task:
    """A submitted share.

    Attributes:
        share: its file.
        job: submitit's id, ``12_3`` in an array of Slurm's.
        log: what the task prints.
        runs: how many it trains.
    """

    share: str
    job: str
    log: str
    runs: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


class Pool(Protocol):
    """Takes shares and tells how their tasks are."""

    name: str

    def check(self) -> None:
        """Raise :class:`ConfigError` if tasks with these settings would be refused."""
        ...

    def most_detached(self) -> float:
        """How many tasks get their turn when the process that submitted them has left."""
        ...

    def submit(self, shares: Sequence[tuple[Path, int]]) -> Iterator[list[Task]]:
        """Submit the shares (file, runs) and yield their tasks; in several parts where it must."""
        ...

    def states(self, tasks: Sequence[Task]) -> dict[str, TaskState]:
        """By share; absent is what is not known, or no longer.

        Raises:
            SlurmError: nothing can be said now.
        """
        ...

    def cancel(self, tasks: Sequence[Task]) -> None:
        """Ask for the end of these tasks."""
        ...


class SlurmPool:
    """Arrays of Slurm tasks, one share each."""

    name = "slurm"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        init = {"slurm_max_num_timeout": settings["max_num_timeout"]}
        self._executor = _executor("slurm", settings["submitit_folder"], init)
        specific = {
            f"slurm_{k}": v
            for k, v in settings.items()
            if k not in (*COMMON, "submitit_folder", "max_num_timeout")
        }
        common = {name: settings[name] for name in COMMON}
        given = {k: v for k, v in {**common, **specific}.items() if v is not None}
        self._executor.update_parameters(nodes=1, tasks_per_node=1, **given)

    def check(self) -> None:
        script = self._executor._executor._make_submission_file_text("true", "check")
        try:
            refused = slurm.refusal(script)
            if refused is None:
                return
            partition = self.settings["partition"]
            known = slurm.partitions()
        except (SlurmError, OSError) as error:
            raise ConfigError("hydra/launcher", "fused_slurm", str(error)) from None
        if partition is not None and not set(partition.split(",")) <= set(known):
            allowed = f"must be one of {', '.join(known)}"
            raise ConfigError("hydra.launcher.partition", partition, allowed)
        raise ConfigError("hydra.launcher", self._asked(), f"Slurm refuses such tasks: {refused}")

    def _asked(self) -> str:
        """The resources that were asked for, as typed."""
        names = (
            "partition", "gpus_per_node", "cpus_per_task", "mem_gb", "timeout_min", "account",
            "qos", "constraint", "gres", "nodelist", "additional_parameters",
        )  # fmt: skip
        given = [f"{n}={self.settings[n]}" for n in names if self.settings.get(n)]
        return "{" + ", ".join(given) + "}"

    def most_detached(self) -> float:
        return float("inf")

    def submit(self, shares: Sequence[tuple[Path, int]]) -> Iterator[list[Task]]:
        size = slurm.largest_array()
        pieces = [shares[start : start + size] for start in range(0, len(shares), size)]
        # Several arrays run side by side: each gets its part of the tasks at a time.
        at_once = max(1, self.settings["array_parallelism"] // len(pieces))
        self._executor.update_parameters(slurm_array_parallelism=at_once)
        for piece in pieces:
            said = io.StringIO()
            try:
                # submitit prints sbatch's words besides raising them.
                with contextlib.redirect_stderr(said), self._executor.batch():
                    jobs = [self._executor.submit(Worker(path)) for path, _ in piece]
            except Exception as error:
                raise SlurmError(slurm.words(str(error))) from error
            yield [_task(share, job) for share, job in zip(piece, jobs, strict=True)]

    def states(self, tasks: Sequence[Task]) -> dict[str, TaskState]:
        return by_share(tasks, slurm.states(task.job for task in tasks))

    def cancel(self, tasks: Sequence[Task]) -> None:
        slurm.cancel(task.job for task in tasks)


class LocalPool:
    """Processes of this machine, so many at a time; they outlive the process that starts them."""

    name = "local"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.slots: int = settings["array_parallelism"]
        init = {"local_max_num_timeout": settings["max_num_timeout"]}
        self._executor = _executor("local", settings["submitit_folder"], init)
        self._given = {name: settings[name] for name in COMMON if settings[name] is not None}
        self._jobs: dict[str, Any] = {}
        self._waiting: list[tuple[Task, Path]] = []
        self._slot: dict[str, int] = {}

    def check(self) -> None:
        if self.slots < 1:
            raise ConfigError("hydra.launcher.array_parallelism", self.slots, "must be at least 1")

    def most_detached(self) -> float:
        return self.slots

    def submit(self, shares: Sequence[tuple[Path, int]]) -> Iterator[list[Task]]:
        tasks = [Task(str(path), "", "", runs) for path, runs in shares]
        self._waiting = [(task, path) for task, (path, _) in zip(tasks, shares, strict=True)]
        self._start()
        yield tasks

    def _start(self) -> None:
        """Start waiting tasks in free slots."""
        busy = {slot for job, slot in self._slot.items() if alive(job)}
        for slot in [slot for slot in range(self.slots) if slot not in busy]:
            if not self._waiting:
                return
            task, path = self._waiting.pop(0)
            self._executor.update_parameters(**self._given, **self._gpus(slot))
            threads = self.settings["cpus_per_task"] or max(1, available_threads() // self.slots)
            with _environment("OMP_NUM_THREADS", str(threads)), _output_closed():
                job = self._executor.submit(Worker(path))
            task.job, task.log = job.job_id, str(job.paths.stderr)
            self._jobs[task.job] = job
            self._slot[task.job] = slot

    def _gpus(self, slot: int) -> dict[str, Any]:
        gpus = visible_gpus()
        each = self.settings["gpus_per_node"] or max(1, len(gpus) // self.slots)
        if not gpus:
            return {}
        first = slot * each % len(gpus)
        return {
            "gpus_per_node": min(each, len(gpus)),
            "local_visible_gpus": [int(one) for one in (gpus + gpus)[first : first + each]],
        }

    def states(self, tasks: Sequence[Task]) -> dict[str, TaskState]:
        for job in self._jobs.values():
            job.done()  # so that a process that has ended does not linger
        self._start()
        found = {}
        for task in tasks:
            if task.job and alive(task.job):
                found[task.share] = TaskState("RUNNING")
            elif any(task is one for one, _ in self._waiting):
                found[task.share] = TaskState("PENDING", "waits for its turn")
        return found

    def cancel(self, tasks: Sequence[Task]) -> None:
        self._waiting.clear()
        for task in tasks:
            if task.job in self._jobs:
                self._jobs[task.job].cancel()


def by_share(tasks: Sequence[Task], found: Mapping[str, TaskState]) -> dict[str, TaskState]:
    """States of tasks, from states of jobs."""
    return {task.share: found[task.job] for task in tasks if task.job in found}


def alive(job: str) -> bool:
    """Whether the process that controls a local task runs (its id is the job's)."""
    try:
        return b"submitit" in Path(f"/proc/{job}/cmdline").read_bytes()
    except OSError:
        return False


def _executor(cluster: str, folder: str, init: Mapping[str, Any]) -> Any:
    try:
        import submitit
    except ImportError:
        allowed = "needs submitit: pip install 'dynsweep[slurm]'"
        raise ConfigError("hydra/launcher", f"fused_{cluster}", allowed) from None
    try:
        return submitit.AutoExecutor(folder=folder, cluster=cluster, **init)
    except RuntimeError as error:
        raise ConfigError("hydra/launcher", f"fused_{cluster}", str(error)) from None


def _task(share: tuple[Path, int], job: Any) -> Task:
    return Task(str(share[0]), job.job_id, str(job.paths.stderr), share[1])


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _output_closed() -> Iterator[None]:
    """Processes started here do not hold this one's output open: whoever reads it through a
    pipe need not wait for tasks that outlive the command."""
    kept = [os.dup(1), os.dup(2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for handle in (*kept, nothing):
            os.close(handle)
