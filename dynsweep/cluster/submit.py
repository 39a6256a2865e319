"""Shards become tasks of Slurm, through submitit.

Of its private names two are used (``setup.cfg`` keeps to the versions that have them):
``AutoExecutor._executor`` and ``SlurmExecutor._make_submission_file_text``, for the script of a
task, so that ``sbatch --test-only`` can say what Slurm would refuse before anything is submitted.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from submitit import AutoExecutor
from submitit.helpers import Checkpointable

from dynsweep.cluster import slurm
from dynsweep.cluster.shards import Shard, Submission
from dynsweep.cluster.slurm import SlurmError, TaskState
from dynsweep.cluster.worker import Worker
from dynsweep.config.launchers import PREFIX, SIZES, SlurmConf
from dynsweep.errors import ConfigError

# Settings that submitit takes under these names, whatever the executor.
COMMON = ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "name", "stderr_to_stdout")
OURS = (*SIZES, "_target_", "detach", "on_interrupt", "stall_minutes")
CONSTRUCTOR = ("submitit_folder", "max_num_timeout")


class TrainShard(Checkpointable):
    """What a task runs, and again when it was requeued: it finds its records and checkpoint."""

    def __init__(self, shard: Path) -> None:
        self.shard = shard

    def __call__(self) -> None:
        Worker(self.shard)()


class SlurmExecutor:
    """Arrays of tasks, one shard each; see :class:`dynsweep.cluster.monitor.Executor`.

    Raises:
        ConfigError: this machine has no Slurm.
    """

    grace = 10.0
    pause = 10.0

    def __init__(self, conf: SlurmConf) -> None:
        self.conf = conf
        given = {one.name: getattr(conf, one.name) for one in fields(conf)}
        self.given = {k: v for k, v in given.items() if k not in OURS and v is not None}
        try:
            self._executor: Any = AutoExecutor(
                conf.submitit_folder, "slurm", slurm_max_num_timeout=conf.max_num_timeout
            )
        except RuntimeError as error:
            raise ConfigError("hydra/launcher", "fused_slurm", str(error)) from None
        parameters = {
            name if name in COMMON else f"slurm_{name}": value
            for name, value in self.given.items()
            if name not in CONSTRUCTOR
        }
        self._executor.update_parameters(nodes=1, tasks_per_node=1, **parameters)

    def check(self) -> None:
        """Raise :class:`ConfigError` if Slurm would refuse such tasks."""
        script = self._executor._executor._make_submission_file_text("true", "check")
        try:
            slurm.ask("sbatch", "--test-only", input=script)
        except SlurmError as error:
            reason = str(error).removeprefix("sbatch: ")
        else:
            return
        partition, known = self.conf.partition, slurm.partitions()
        if partition is not None and not set(partition.split(",")) <= set(known):
            allowed = f"must be one of {', '.join(known)}"
            raise ConfigError(f"{PREFIX}partition", partition, allowed)
        defaults = SlurmConf()
        asked = [
            f"{name}={value}"
            for name, value in self.given.items()
            if name not in (*CONSTRUCTOR, "name") and value != getattr(defaults, name)
        ]
        allowed = f"Slurm refuses such tasks: {reason}"
        raise ConfigError("hydra.launcher", f"{{{', '.join(asked)}}}", allowed)

    def submit(self, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
        """Array by array; raise :class:`SlurmError` where Slurm takes no more."""
        size = slurm.largest_array()
        pieces = [shards[start : start + size] for start in range(0, len(shards), size)]
        # Several arrays run side by side: each gets its part of the tasks at a time.
        at_once = max(1, self.conf.array_parallelism // len(pieces))
        self._executor.update_parameters(slurm_array_parallelism=at_once)
        for piece in pieces:
            try:
                # submitit prints sbatch's words besides raising them.
                with contextlib.redirect_stderr(io.StringIO()), self._executor.batch():
                    jobs = [self._executor.submit(TrainShard(shard.path)) for shard in piece]
            except Exception as error:
                raise SlurmError(slurm.words(str(error))) from error
            yield [self._submission(shard, job) for shard, job in zip(piece, jobs, strict=True)]

    def _submission(self, shard: Shard, job: Any) -> Submission:
        log = job.paths.stdout if self.conf.stderr_to_stdout else job.paths.stderr
        return Submission(shard.path, job.job_id, log, len(shard.runs), "slurm")

    def states(self, submissions: Sequence[Submission]) -> dict[str, TaskState]:
        """See :func:`dynsweep.cluster.slurm.states`."""
        return slurm.states(one.job for one in submissions)

    def cancel(self, submissions: Sequence[Submission]) -> None:
        """Arrays as a whole."""
        slurm.ask("scancel", *slurm.arrays(one.job for one in submissions))
