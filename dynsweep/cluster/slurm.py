"""Shards become tasks of Slurm, with submitit's scripts, restarts and logs.

Arrays are submitted as submitit does it, see :mod:`dynsweep.cluster.sbatch`: its own executor
waits for sbatch in silence. Of its private names one is used (``setup.cfg`` keeps to the versions
that have it): ``SlurmExecutor._make_submission_file_text``, for the script of a task, so that
``sbatch --test-only`` can say what Slurm would refuse before anything is submitted.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from dynsweep.cluster.commands import Unreachable, ask, states
from dynsweep.cluster.sbatch import Sbatch
from dynsweep.cluster.shards import Shard, Submission
from dynsweep.config.launchers import PREFIX, SIZES, SlurmConf
from dynsweep.errors import ConfigError, SlurmError

# Settings that are not sbatch's, and sbatch's that have another name.
OURS = {*SIZES, "_target_", "detach", "on_interrupt", "stall_minutes"}
OURS |= {"submitit_folder", "max_num_timeout"}
NAMES = {"timeout_min": "time", "name": "job_name", "mem_gb": "mem"}


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
        self._last: Sbatch | None = None

    def check(self) -> None:
        """Raise :class:`ConfigError` if Slurm would refuse such tasks, :class:`SlurmError` if it
        does not answer."""
        try:
            ask("sbatch", "--test-only", input=self._script(1))
            return
        except Unreachable:
            raise
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
        """Array by array, and nothing in between while sbatch is at work on one; raise
        :class:`SlurmError` where Slurm takes no more."""
        limit = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"))
        size = max(1, int(limit[1])) if limit else 1001
        pieces = [shards[start : start + size] for start in range(0, len(shards), size)]
        # Several arrays run side by side: each gets its part of the tasks at a time.
        at_once = max(1, self.conf.array_parallelism // len(pieces))
        self._executor.update_parameters(array_parallelism=at_once)
        for piece in pieces:
            self._last = Sbatch(self._executor.folder, self._script(len(piece)), piece, self.conf)
            while (tasks := self._last.taken()) is None:
                yield []
            yield tasks

    def settle(self) -> list[Submission]:
        """No more is to be submitted: the tasks of the array that was on its way, if Slurm has
        them after all."""
        return self._last.end() if self._last else []

    def _script(self, tasks: int) -> str:
        """What sbatch is given for so many tasks."""
        parameters = self._executor.parameters
        parameters["map_count"] = tasks if tasks > 1 else None
        folder = shlex.quote(str(self._executor.folder))
        command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {folder}"
        text: str = self._executor._make_submission_file_text(command, "")
        return text
