"""An array of tasks on its way to Slurm: sbatch runs beside us, and is heard as it speaks.

It may take minutes: at a limit of submitted jobs it says so, sleeps and tries again. submitit
would keep silent all that time; what it does to submit, with the same files, is done here.
"""

import logging
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from dynsweep.cluster.commands import ask, words
from dynsweep.cluster.shards import Shard, Submission
from dynsweep.config.launchers import SlurmConf
from dynsweep.errors import DynsweepError, SlurmError
from dynsweep.store.files import make_folder, storing

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds for sbatch to end by itself once it is no longer wanted
SILENCE = 60.0  # seconds without a word of sbatch after which it is named
LAST_WORDS = "Batch job submission failed"


class Sbatch:
    """Submits a task for each shard, as one array.

    Args:
        folder: of submitit, for scripts, pickles and logs.
        script: what sbatch is given.
        shards: each for a task of its own.
        conf: settings of the launcher.
    """

    def __init__(
        self, folder: Path, script: str, shards: Sequence[Shard], conf: SlurmConf
    ) -> None:
        from submitit.core.utils import DelayedSubmission, JobPaths

        from dynsweep.cluster.worker import Worker

        self.shards, self.conf, self.folder = shards, conf, folder
        top = make_folder(JobPaths.get_first_id_independent_folder(folder))
        self.script = top / f".submission_file_{uuid.uuid4().hex}.sh"
        self._pickles: list[Path] = []
        for shard in shards:
            task = DelayedSubmission(Worker(shard.path))
            task.set_timeout(conf.timeout_min, conf.max_num_timeout)
            self._pickles.append(top / f"{uuid.uuid4().hex}.pkl")
            with storing(self._pickles[-1]):
                task.dump(self._pickles[-1])
        with storing(self.script):
            self.script.write_text(script)
        self._job, self._problem = "", ""
        self._done = threading.Event()
        self._said: set[str] = set()
        self._heard = 0  # bytes of its error stream
        self._named_after = time.monotonic() + SILENCE
        self._err = TemporaryFile()  # noqa: SIM115 - open as long as sbatch is at work
        try:
            # A session of its own: Ctrl-C reaches us only, who then settle what becomes of it.
            self._process = subprocess.Popen(
                ["sbatch", str(self.script)], stdin=subprocess.DEVNULL, text=True,
                stdout=subprocess.PIPE, stderr=self._err, start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            self._forget()
            raise SlurmError("sbatch: not found") from None
        # A task may start at once, and dies without a folder for its log: whatever else goes on
        # here, the folders are made as soon as the number of the job is known.
        threading.Thread(target=self._wait, daemon=True, name="sbatch").start()

    def _wait(self) -> None:
        try:
            assert self._process.stdout
            for line in self._process.stdout:
                if found := re.search(r"Submitted batch job (\d+)", line):
                    self._arrive(found[1])
            self._process.wait()
        except DynsweepError as error:
            self._problem = f"{error}; to end what was submitted: scancel {self._job}"
        finally:
            self._done.set()

    def taken(self) -> list[Submission] | None:
        """The tasks, once Slurm has taken them; ``None`` while sbatch is at work.

        Raises:
            SlurmError: Slurm does not take them.
        """
        if not self._done.is_set():
            self._pass_on()
            if not self._said and time.monotonic() > self._named_after:
                self._named_after = float("inf")
                log.warning("sbatch has not answered for a minute; waiting for it")
            return None
        if self._problem or not self._job:
            self._forget()
            lines = _read(self._err).decode(errors="replace").splitlines()
            last = [line for line in lines if words(line) not in self._said]
            raise SlurmError(self._problem or words("\n".join(last or lines)))
        self._pass_on()
        return self._submissions()

    def end(self) -> list[Submission]:
        """No more is wanted: the tasks, if Slurm has taken them after all."""
        deadline = time.monotonic() + PATIENCE
        with suppress(SlurmError):
            # Once it has said something it waits for better times.
            while self.taken() is None and not self._said and time.monotonic() < deadline:
                time.sleep(0.1)
            if (tasks := self.taken()) is not None:
                return tasks
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._done.wait(PATIENCE)
            # It may have reached Slurm and not have told us.
            for line in ask("squeue", "-h", "--me", "-o", "%F|%o").splitlines():
                job, _, command = line.partition("|")
                if command.strip() == str(self.script):
                    self._arrive(job)
                    return self._submissions()
        self._forget()
        return []

    def _pass_on(self) -> None:
        """What sbatch has said since, each line once."""
        text = _read(self._err, self._heard)
        whole = text[: text.rfind(b"\n") + 1]
        self._heard += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            said = words(line)
            if line.strip() and said not in self._said and LAST_WORDS not in line:
                self._said.add(said)
                log.warning("sbatch: %s", said)

    def _arrive(self, job: str) -> None:
        """Put the files where the tasks look for them; the folders of all before."""
        from submitit.core.utils import JobPaths

        self._job = job
        places = [JobPaths(self.folder, job_id=one.job) for one in self._submissions()]
        for place in places:
            make_folder(place.folder)
        for pickle, place in zip(self._pickles, places, strict=True):
            with storing(pickle):
                place.move_temporary_file(pickle, "submitted_pickle")
        with storing(self.script):
            places[0].move_temporary_file(self.script, "submission_file", keep_as_symlink=True)

    def _submissions(self) -> list[Submission]:
        from submitit.core.utils import JobPaths

        many = len(self.shards) > 1
        jobs = [f"{self._job}_{k}" if many else self._job for k in range(len(self.shards))]
        name = "stdout" if self.conf.stderr_to_stdout else "stderr"
        return [
            Submission(
                shard.path, job, getattr(JobPaths(self.folder, job_id=job, task_id=0), name),
                len(shard.runs), "slurm",
            )
            for shard, job in zip(self.shards, jobs, strict=True)
        ]  # fmt: skip

    def _forget(self) -> None:
        """Remove what no task will ask for."""
        with suppress(OSError):
            for path in (*self._pickles, self.script):
                path.unlink(missing_ok=True)
            self.script.parent.rmdir()


def _read(file: Any, start: int = 0) -> bytes:
    """What another process has written there; the place in the file is shared with it."""
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), max(0, size - start), start)
