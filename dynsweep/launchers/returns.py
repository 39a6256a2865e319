"""What the fused launcher returns for a job, and what it raises for a sweep with failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from dynsweep.launchers.shapes import Composed


class LazyReturn(JobReturn):
    """A job's return whose configs are made when someone looks at them."""

    def __init__(self, job: Composed, **fields: Any) -> None:
        self._job = job
        self._cfg: DictConfig | None = None
        self._hydra_cfg: DictConfig | None = None
        super().__init__(overrides=job.overrides, **fields)

    def finish(self, value: Any, error: Exception | None = None) -> None:
        """Record what the job returned, or what it raised."""
        self.return_value = value if error is None else error
        self.status = JobStatus.COMPLETED if error is None else JobStatus.FAILED

    @property
    def cfg(self) -> DictConfig | None:
        if self._cfg is None:
            self._cfg = self._job.task_config()
        return self._cfg

    @cfg.setter
    def cfg(self, value: DictConfig | None) -> None:
        self._cfg = value

    @property
    def hydra_cfg(self) -> DictConfig | None:
        if self._hydra_cfg is None:
            self._hydra_cfg = self._job.hydra_config()
        return self._hydra_cfg

    @hydra_cfg.setter
    def hydra_cfg(self, value: DictConfig | None) -> None:
        self._hydra_cfg = value


class SweepFailed(RuntimeError):
    """Some jobs of a sweep failed; the text says how many, and the first error."""


def raise_failures(returns: Sequence[JobReturn]) -> None:
    """Raise :class:`SweepFailed` if any job failed, from the first failed job's exception."""
    failed = [job for job in returns if job.status is not JobStatus.COMPLETED]
    if not failed:
        return
    error = failed[0]._return_value
    told = " ".join(f"{type(error).__name__}: {error}".split())
    point = " ".join(failed[0].overrides or ["no overrides"])
    text = f"{len(failed)} of {len(returns)} jobs failed; the first ({point}): {told}"
    raise SweepFailed(text) from (error if isinstance(error, BaseException) else None)
