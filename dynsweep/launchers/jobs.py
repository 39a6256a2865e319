"""What passes between Hydra's launcher and a task that can take many jobs at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from omegaconf import DictConfig


@dataclass(frozen=True)
class Job:
    """One point of the grid: its number in the sweep, its overrides as Hydra records them,
    and its task config, resolved, as a nested plain dict."""

    number: int
    overrides: list[str]
    config: dict[str, Any]


@runtime_checkable
class FusibleTask(Protocol):
    """A Hydra task function that can also take all jobs of a multirun at once.

    Any launcher may call it with one config. The fused launcher looks for ``run_jobs`` and,
    where it is there, hands over all jobs together.
    """

    def __call__(self, cfg: DictConfig) -> Any:
        """One job, as any Hydra launcher runs it."""
        ...

    def check_jobs(self, jobs: Sequence[Job], sweep: DictConfig, here: bool = True) -> None:
        """Raise ``ConfigError`` if any job has a setting out of range; nothing is run.

        ``here``: whether the jobs will be run on a machine like this one.
        """
        ...

    def run_jobs(self, jobs: Sequence[Job], sweep: DictConfig) -> list[Any]:
        """Run all jobs; return, per job, its return value or the exception it raised.

        Args:
            jobs: all jobs of this launch.
            sweep: the master config, as Hydra gives it to launchers (``sweep.hydra.sweep.dir``).
        """
        ...


@runtime_checkable
class SpreadableTask(FusibleTask, Protocol):
    """A fusible task whose jobs can be shared among the tasks of a cluster."""

    def spread_jobs(
        self, jobs: Sequence[Job], sweep: DictConfig, kind: str, settings: Mapping[str, Any]
    ) -> list[Any]:
        """As ``run_jobs``, in a pool (``slurm``, ``local``) with the launcher's settings."""
        ...
