"""What the tests share: short runs, and the command run as users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.version import VersionBase
from runs import make_run as run_from

from dynsweep.config import RunConfig
from dynsweep.data.download import RECORD, TEST, TRAIN

ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "HYDRA_FULL_ERROR"}
COMMAND = [sys.executable, "-m", "dynsweep"]


@pytest.fixture(autouse=True)
def _version_base() -> Iterator[None]:
    """A process has one, which whoever composes sets; it decides how other apps' jobs run."""
    before = VersionBase.instance().version_base
    yield
    VersionBase.instance().version_base = before


@pytest.fixture
def make_run() -> Callable[..., RunConfig]:
    """A run from keyword arguments that belong to any part of its config."""

    return run_from


@pytest.fixture
def dynsweep(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in ``tmp_path``, without a terminal."""

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=300,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """CIFAR-10's files with a few random images each."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.RandomState(0)
    for name in (*TRAIN, TEST):
        records = rng.randint(0, 256, (5, RECORD)).astype(np.uint8)
        records[:, 0] = rng.randint(0, 10, 5)
        records.tofile(folder / name)
    return str(folder)
