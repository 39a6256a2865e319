"""All names of Hydra that are private; ``setup.cfg`` keeps to the versions that have them."""

# The product of all axes, with a later override of a key in the place of an earlier one. (The
# module, as Hydra's search for plugins makes its classes anew.)
from hydra._internal.core_plugins import basic_sweeper

# Runs the jobs of other apps, such as those of Hydra's own tests of launchers.
from hydra._internal.core_plugins.basic_launcher import BasicLauncher

# The command line as Hydra understood it, for errors that quote the user's words.
from hydra._internal.utils import get_args

__all__ = ["BasicLauncher", "basic_sweeper", "get_args"]
