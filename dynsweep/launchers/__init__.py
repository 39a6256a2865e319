"""The border to Hydra: composed jobs become runs, which launchers and sweeper hand on."""

import warnings

from hydra.core.plugins import Plugins


def register() -> None:
    """Register launchers (``fused``, ``fused_slurm``) and sweepers (``fused``, ``adaptive``)
    before Hydra runs."""
    from dynsweep.launchers.adaptive import AdaptiveSweeper
    from dynsweep.launchers.fused import FusedLauncher, FusedSlurmLauncher
    from dynsweep.launchers.sweeper import FusedSweeper

    # Hydra's sweeper for Optuna uses names that Optuna is to lose; that is not the user's doing.
    warnings.filterwarnings("ignore", category=FutureWarning, module="optuna")
    plugins = Plugins.instance()
    for plugin in (FusedLauncher, FusedSlurmLauncher, FusedSweeper, AdaptiveSweeper):
        plugins.register(plugin)
        # Hydra instantiates plugins only by names of this package, which need not be there.
        plugins.class_name_to_class[f"hydra_plugins.dynsweep.{plugin.__name__}"] = plugin
