"""What Slurm says, in the words of its own commands.

submitit asks ``sacct``, which needs an accounting database; ``squeue`` answers on every cluster,
and at once. It remembers a task that ended for some minutes (``MinJobAge``): it must be asked
more often than that.
"""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from dynsweep.errors import DynsweepError

WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"}
RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
ENDINGS = {
    "CANCELLED": "was cancelled",
    "TIMEOUT": "ran out of time",
    "DEADLINE": "ran out of time",
    "OUT_OF_MEMORY": "ran out of memory",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "lost its node",
    "PREEMPTED": "was preempted",
    "FAILED": "died",
    "COMPLETED": "ended early",
}


@dataclass(frozen=True)
class TaskState:
    """How a task is (``pending (Priority)``, ``was cancelled``), and whether it runs or will."""

    text: str
    alive: bool


GONE = TaskState("is gone", alive=False)


class SlurmError(DynsweepError, RuntimeError):
    """A command of Slurm did not work; the text is what it said, in one line."""


def ask(*command: str, input: str | None = None) -> str:
    """What a command of Slurm prints.

    Raises:
        SlurmError: it is not there, fails, or does not answer in a minute.
    """
    try:
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise SlurmError(f"{command[0]}: not found; is this machine part of a cluster?") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]}: no answer in a minute") from None
    if done.returncode:
        raise SlurmError(f"{command[0]}: {words(done.stderr)}")
    return done.stdout


def words(text: str) -> str:
    """What a command said on its error stream, without its names and repetitions."""
    noise = r"^(\w+: )?(error: )?(Batch job submission failed: |allocation failure: )?"
    lines = [re.sub(noise, "", line).strip() for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "no reason given"


def states(jobs: Iterable[str]) -> dict[str, TaskState]:
    """State by id of the tasks of these jobs; what Slurm has forgotten is absent.

    Raises:
        SlurmError: the controller does not answer.
    """
    command = ["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r"]
    try:
        text = ask(*command, "-j", ",".join(arrays(jobs)))
    except SlurmError as error:
        if "Invalid job id" not in str(error):
            raise
        # Slurm has forgotten one of them, and then tells of none.
        text = ask(*command, "--me")
    rows = [line.split("|") for line in text.splitlines()]
    return {row[0]: _task_state(row[1], row[2]) for row in rows if len(row) == 3}


def _task_state(state: str, reason: str) -> TaskState:
    if state not in WAITING | RUNNING:
        return TaskState(ENDINGS.get(state, state.lower()), alive=False)
    waits_for = f" ({reason})" if state == "PENDING" and reason != "None" else ""
    return TaskState(state.lower() + waits_for, alive=True)


def arrays(jobs: Iterable[str]) -> list[str]:
    """The jobs of which these are tasks: ``12_3`` is one of job ``12``."""
    return sorted({job.partition("_")[0] for job in jobs})


def partitions() -> list[str]:
    """Names of the cluster's partitions."""
    return sorted(set(ask("sinfo", "-h", "-o", "%R").split()))


def largest_array() -> int:
    """How many tasks one array can have."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"))
    return int(found[1]) if found else 1001
