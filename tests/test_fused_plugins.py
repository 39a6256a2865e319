"""The fused launcher and sweeper as Hydra plugins: Hydra's own suites, and what they add."""

from __future__ import annotations

import pytest
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

from dynsweep.launchers.registration import register

register()


@pytest.mark.parametrize("launcher_name", ["fused"])
@pytest.mark.parametrize("overrides", [[], ["hydra/sweeper=fused"]])
class TestFusedLauncher(LauncherTestSuite):
    """Hydra's tests of launchers, with its own sweeper and with ours."""


@pytest.mark.parametrize("launcher_name", ["fused"])
@pytest.mark.parametrize(
    "overrides", [["hydra/sweeper=fused", "hydra.sweeper.max_batch_size=2"]]
)
class TestFusedSweeperBatches(BatchedSweeperTestSuite):
    """Hydra's tests of sweepers that launch in batches."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/launcher=fused", "hydra/sweeper=fused"])],
)
class TestFusedIntegration(IntegrationTestSuite):
    """Hydra's tests of whole applications."""

    def generate_custom_cmd(self):
        return lambda cmd, filename: [cmd[0], "-c", REGISTERED, *cmd[1:]]

REGISTERED = """
import runpy, sys
from dynsweep.launchers.registration import register
register()
sys.argv = sys.argv[1:]
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""
