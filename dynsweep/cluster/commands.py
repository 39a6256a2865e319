"""Slurm's own commands: what they are asked, and what they say.

submitit asks ``sacct``, which needs an accounting database; ``squeue`` answers on every cluster,
and at once. It remembers a task that ended for some minutes (``MinJobAge``): it must be asked
more often than that.
"""

import re
import subprocess
from collections.abc import Iterable

from dynsweep.cluster.monitor import TaskState
from dynsweep.cluster.shards import arrays
from dynsweep.errors import SlurmError

WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED"}
WAITING |= {"SPECIAL_EXIT"}
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
# Words for a controller that is down, or too busy.
AWAY = re.compile(r"Unable to contact|Connection refused|timed out|connect failure|Zero Bytes")


class Unreachable(SlurmError):
    """Slurm gives no answer, as against a refusal."""


def ask(*command: str, input: str | None = None) -> str:
    """What a command of Slurm prints; :class:`SlurmError` if there is none, or no answer."""
    try:
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise SlurmError(f"{command[0]}: not found; is this machine part of a cluster?") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{command[0]}: no answer in a minute") from None
    if done.returncode:
        reason = words(done.stderr)
        raise (Unreachable if AWAY.search(reason) else SlurmError)(f"{command[0]}: {reason}")
    return done.stdout


def words(text: str) -> str:
    """What a command said on its error stream, without its names and repetitions."""
    noise = r"^(\w+: )?((\w+ )?error: )?(Batch job submission failed: |allocation failure: )?"
    lines = [re.sub(noise, "", line).strip() for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "no reason given"


def states(jobs: Iterable[str]) -> dict[str, TaskState]:
    """State by id of the tasks of these jobs; what Slurm has forgotten is absent."""
    command = ["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r"]
    try:
        text = ask(*command, "-j", ",".join(arrays(jobs)))
    except SlurmError as error:
        if "Invalid job id" not in str(error):
            raise
        # Slurm has forgotten one of them, and then tells of none.
        text = ask(*command, "--me")
    # A site's own lines may stand between.
    rows = re.findall(r"^(\d+(?:_\d+)?)\|([A-Z_]+)\|([^|\n]*)$", text, re.MULTILINE)
    return {job: _task_state(state, reason) for job, state, reason in rows}


def _task_state(state: str, reason: str) -> TaskState:
    if state not in WAITING | RUNNING:
        return TaskState(ENDINGS.get(state, state.lower()), alive=False)
    waits_for = f" ({reason})" if state == "PENDING" and reason != "None" else ""
    return TaskState(state.lower() + waits_for, alive=True)
