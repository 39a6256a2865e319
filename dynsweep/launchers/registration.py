"""Makes the fused launcher and sweeper known to Hydra, however dynsweep was installed."""

from __future__ import annotations

from dynsweep.launchers.returns import SweepFailed

__all__ = ["SweepFailed", "register"]


def register() -> None:
    """Register ``hydra/launcher=fused|fused_local|fused_slurm`` and ``hydra/sweeper=fused``.

    Call it before Hydra starts.
    Hydra finds the plugins of a normal installation by itself, but not those of an editable one.
    """
    from hydra.core.plugins import Plugins

    plugins = Plugins.instance()  # looks for installed plugins, and imports them
    from hydra_plugins.dynsweep_fused.launcher import FusedLauncher
    from hydra_plugins.dynsweep_fused.pools import FusedLocalLauncher, FusedSlurmLauncher
    from hydra_plugins.dynsweep_fused.sweeper import FusedSweeper

    for plugin in (FusedLauncher, FusedLocalLauncher, FusedSlurmLauncher, FusedSweeper):
        if f"{plugin.__module__}.{plugin.__name__}" not in plugins.class_name_to_class:
            plugins.register(plugin)
