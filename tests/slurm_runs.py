"""Commands on a test cluster, and what their sweep directories say of tasks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slurm_cluster import Cluster

COMMAND = [sys.executable, "-m", "dynsweep"]
SLURM = "hydra/launcher=fused_slurm"


def start(cluster: Cluster, *arguments: str, first: Path | None = None) -> subprocess.Popen[str]:
    """``first``: a folder whose commands stand before Slurm's."""
    path = f"{first}:{cluster.env['PATH']}" if first else cluster.env["PATH"]
    return subprocess.Popen(
        [*COMMAND, "-m", *arguments],
        env={**cluster.env, "PATH": path}, text=True, cwd=cluster.root,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # A shell's background jobs, such as this test run may be, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def run(cluster: Cluster, *arguments: str, first: Path | None = None) -> tuple[int, str]:
    """Exit status and output."""
    process = start(cluster, *arguments, first=first)
    text, _ = process.communicate(timeout=240)
    return process.returncode, text


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def tasks(directory: Path) -> list[dict[str, Any]]:
    """The tasks of the last launch, as they were submitted; paths made absolute."""
    last = max(directory.glob("tasks/*/tasks.json"))
    found: list[dict[str, Any]] = json.loads(last.read_text())["tasks"]
    paths = {"shard": last.parent, "log": directory}
    return [task | {name: str(paths[name] / task[name]) for name in paths} for task in found]


def status(task: dict[str, Any]) -> dict[str, Any]:
    """What the task said last; nothing if it has not begun."""
    path = Path(task["shard"]).with_suffix(".status.json")
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def standing(cluster: Cluster, directory: Path) -> str:
    command = [sys.executable, "-m", "dynsweep.cli.aggregate_command", str(directory), "--status"]
    done = subprocess.run(command, env=cluster.env, capture_output=True, text=True, check=True)
    return done.stdout
