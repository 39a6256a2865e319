"""What goes wrong on a cluster: each fault on a real Slurm, with its line and its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slurm_cluster

REASON = slurm_cluster.available()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]


def of_cluster(root: Path) -> list[str]:
    """Processes that have the configuration of this cluster."""
    mark, found = f"SLURM_CONF={root}/slurm.conf".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_cluster_ends_with_the_process_that_started_it(
    tmp_path: Path, how: signal.Signals
) -> None:
    root = tmp_path / "cluster"
    command = [sys.executable, slurm_cluster.__file__, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("export SLURM_CONF")
        env = {**os.environ, "SLURM_CONF": f"{root}/slurm.conf"}
        job = ["sbatch", "-o", "/dev/null", "--wrap", "sleep 100"]
        subprocess.run(job, env=env, check=True, capture_output=True, timeout=30)
        deadline = time.monotonic() + 30
        while not any("sleep" in command for command in of_cluster(root)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(how)
    while of_cluster(root):
        assert time.monotonic() < deadline + 10
        time.sleep(0.1)
