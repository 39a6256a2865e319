"""What Slurm says, in the words of its own commands.

submitit asks ``sacct``, which needs an accounting database; ``squeue`` answers on every
cluster, and at once. It remembers a task that ended for some minutes (``MinJobAge``), so it
must be asked more often than that.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"})
RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"}
)
# A pending task with such a reason waits for ever: no free resource will help.
NEVER = re.compile(
    r"BadConstraints|PartitionConfig|PartitionNodeLimit|PartitionTimeLimit|Invalid(Account|QOS)"
    r"|(Account|QOS)NotAllowed|DependencyNeverSatisfied|.*held|JobHeld(Admin|User)"
)


@dataclass(frozen=True)
class TaskState:
    """Slurm's state of a task (``RUNNING``), its reason (``Priority``) and its node."""

    state: str
    reason: str = ""
    node: str = ""

    @property
    def alive(self) -> bool:
        """Whether the task runs, or will."""
        return self.state in WAITING or self.state in RUNNING

    @property
    def stuck(self) -> bool:
        """Whether it waits for what will not come by itself."""
        return self.state == "PENDING" and NEVER.fullmatch(self.reason) is not None


class SlurmError(RuntimeError):
    """A command of Slurm did not work; the text is what it said, in one line."""


def states(jobs: Iterable[str]) -> dict[str, TaskState]:
    """State by id of the tasks of these jobs (an array's id is the part before ``_``).

    What Slurm has forgotten is absent.

    Raises:
        SlurmError: the controller does not answer.
    """
    arrays = sorted({job.partition("_")[0] for job in jobs})
    if not arrays:
        return {}
    command = ["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%N"]
    try:
        text = ask(*command, "-j", ",".join(arrays))
    except SlurmError as error:
        if "Invalid job id" not in str(error):
            raise
        # Slurm has forgotten one of them, and then tells of none.
        text = ask(*command, "--me")
    found = {}
    for line in text.splitlines():
        job, state, reason, node = line.split("|", 3)
        if job.partition("_")[0] in arrays:
            found[job] = TaskState(state, reason, node)
    return found


def refusal(script: str) -> str | None:
    """Why ``sbatch`` would not take a script, in its words; ``None`` if it would."""
    done = subprocess.run(
        ["sbatch", "--test-only"], input=script, capture_output=True, text=True, timeout=60
    )
    return None if done.returncode == 0 else words(done.stderr)


def words(text: str) -> str:
    """What a command said on its error stream, without its names and repetitions."""
    lines = []
    for line in text.splitlines():
        line = re.sub(
            r"^(\w+: )?(error: )?(Batch job submission failed: |allocation failure: )?", "", line
        )
        if line.strip():
            lines.append(line.strip())
    return "; ".join(dict.fromkeys(lines)) or "no reason given"


def partitions() -> list[str]:
    """Names of the cluster's partitions."""
    return sorted(set(ask("sinfo", "-h", "-o", "%R").split()))


def largest_array() -> int:
    """How many tasks one array can have."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"))
    return int(found[1]) if found else 1001


def cancel(jobs: Iterable[str]) -> None:
    """Ask Slurm to end these jobs, arrays as a whole."""
    arrays = sorted({job.partition("_")[0] for job in jobs})
    if arrays:
        ask("scancel", *arrays)


def ask(*command: str) -> str:
    """What a command of Slurm prints.

    Raises:
        SlurmError: it is not there, fails, or does not answer in a minute.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise SlurmError(f"{command[0]}: not found; is this machine part of a cluster?") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]}: no answer in a minute") from None
    if done.returncode:
        raise SlurmError(f"{command[0]}: {words(done.stderr)}")
    return done.stdout
