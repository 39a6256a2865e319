"""Shards become tasks of Slurm, through submitit; and what Slurm's own commands say of them.

submitit asks ``sacct``, which needs an accounting database; ``squeue`` answers on every cluster,
and at once. It remembers a task that ended for some minutes (``MinJobAge``): it must be asked
more often than that.

Of submitit's private names one is used (``setup.cfg`` keeps to the versions that have it):
``SlurmExecutor._make_submission_file_text``, for the script of a task, so that
``sbatch --test-only`` can say what Slurm would refuse before anything is submitted.
"""

import contextlib
import io
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from dynsweep.cluster.monitor import TaskState
from dynsweep.cluster.shards import Shard, Submission
from dynsweep.config.launchers import PREFIX, SIZES, SlurmConf
from dynsweep.errors import ConfigError, SlurmError

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

# Settings that are not sbatch's, and sbatch's that have another name.
OURS = {*SIZES, "_target_", "detach", "on_interrupt", "stall_minutes"}
OURS |= {"submitit_folder", "max_num_timeout"}
NAMES = {"timeout_min": "time", "name": "job_name", "mem_gb": "mem"}


def ask(*command: str, input: str | None = None) -> str:
    """What a command of Slurm prints; :class:`SlurmError` if there is none, or no answer."""
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
    """State by id of the tasks of these jobs; what Slurm has forgotten is absent."""
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


class SlurmExecutor:
    """Arrays of tasks, one shard each; see :class:`dynsweep.cluster.monitor.Executor`.

    Raises:
        ConfigError: submitit is not installed, or this machine has no Slurm.
    """

    grace = 10.0
    pause = 10.0
    states = staticmethod(states)

    def __init__(self, conf: SlurmConf) -> None:
        self.conf = conf
        self.given = {k: v for k, v in vars(conf).items() if k not in OURS and v is not None}
        try:
            import submitit

            folder, most = conf.submitit_folder, conf.max_num_timeout
            self._executor: Any = submitit.SlurmExecutor(folder, max_num_timeout=most)
        except (ImportError, RuntimeError) as error:
            missing = isinstance(error, ImportError)
            allowed = "needs submitit: pip install 'dynsweep[slurm]'" if missing else str(error)
            raise ConfigError("hydra/launcher", "fused_slurm", allowed) from None
        parameters = {NAMES.get(name, name): value for name, value in self.given.items()}
        if conf.mem_gb is not None:
            parameters["mem"] = f"{conf.mem_gb}GB"
        self._executor.update_parameters(nodes=1, ntasks_per_node=1, **parameters)

    def check(self) -> None:
        """Raise :class:`ConfigError` if Slurm would refuse such tasks."""
        script = self._executor._make_submission_file_text("true", "check")
        try:
            ask("sbatch", "--test-only", input=script)
            return
        except SlurmError as error:
            reason = str(error).removeprefix("sbatch: ")
        partition, known = self.conf.partition, set(ask("sinfo", "-h", "-o", "%R").split())
        if partition is not None and not set(partition.split(",")) <= known:
            allowed = f"must be one of {', '.join(sorted(known))}"
            raise ConfigError(f"{PREFIX}partition", partition, allowed)
        defaults = vars(SlurmConf(name=self.conf.name))
        asked = [f"{k}={v}" for k, v in self.given.items() if v != defaults[k]]
        allowed = f"Slurm refuses such tasks: {reason}"
        raise ConfigError("hydra.launcher", f"{{{', '.join(asked)}}}", allowed)

    def submit(self, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
        """Array by array; raise :class:`SlurmError` where Slurm takes no more."""
        from dynsweep.cluster.worker import Worker

        limit = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"))
        size = int(limit[1]) if limit else 1001
        pieces = [shards[start : start + size] for start in range(0, len(shards), size)]
        # Several arrays run side by side: each gets its part of the tasks at a time.
        at_once = max(1, self.conf.array_parallelism // len(pieces))
        self._executor.update_parameters(array_parallelism=at_once)
        log = attrgetter("paths.stdout" if self.conf.stderr_to_stdout else "paths.stderr")
        for piece in pieces:
            try:
                # submitit prints sbatch's words besides raising them.
                with contextlib.redirect_stderr(io.StringIO()), self._executor.batch():
                    jobs = [self._executor.submit(Worker(shard.path)) for shard in piece]
            except Exception as error:
                raise SlurmError(words(str(error))) from error
            yield [
                Submission(shard.path, job.job_id, log(job), len(shard.runs), "slurm")
                for shard, job in zip(piece, jobs, strict=True)
            ]
