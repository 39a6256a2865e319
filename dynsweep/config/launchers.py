"""Settings of ``hydra.launcher`` and ``hydra.sweeper``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class FusedLauncherConf:
    """``hydra/launcher=fused``: runs together, on this machine."""

    _target_: str = "hydra_plugins.dynsweep.FusedLauncher"
    # processes that share the runs; null: one for each GPU, and one on a machine without
    workers: int | None = None


@dataclass
class FusedSweeperConf:
    """``hydra/sweeper=fused``: the product of all axes."""

    _target_: str = "hydra_plugins.dynsweep.FusedSweeper"
    # most jobs of a launch; null: all
    max_batch_size: int | None = None
    # axes, as on the command line (10,20 or range(0,5)), one value, or a YAML list of values
    params: dict[str, Any] | None = None
