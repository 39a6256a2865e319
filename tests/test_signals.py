"""Signals at any moment: one line, a status that says which, and nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import COMMAND, ENVIRONMENT

from dynsweep.store import latest

GRID = ["-m", "loss.period=10,20,40", "seed=range(0,20)", "engine.batch_size=20", "steps=80000"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command; background jobs of a shell, such as tests may be, ignore Ctrl-C."""
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def training(directory: Path) -> bool:
    """Whether a batch is in flight."""
    return any((directory / "claims").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_training_is_saved_and_the_same_command_goes_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    """The batch in flight goes on from its step, and ends as without the signal."""
    command = [*GRID, "hydra.sweep.dir=d", "report=false"]
    process = start(tmp_path, *command)
    until(lambda: training(tmp_path / "d"))
    time.sleep(1.0)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert err.splitlines()[1].startswith("Stopping: the batch in flight is being saved")
    assert "To go on from here:" in err
    assert "Traceback" not in out + err
    assert list((tmp_path / "d" / "checkpoints").glob("*.npz"))
    assert not (tmp_path / "d" / "claims").exists()
    if number != signal.SIGTERM:
        return
    again = start(tmp_path, *command)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert "Going on from step" in out
    assert len(latest(tmp_path / "d")) == 60


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.0, 1.5, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_at_any_time_is_one_line(seconds: float, presses: int, tmp_path: Path) -> None:
    """While Python imports, Hydra composes, runs train, figures are drawn; once and twice."""
    process = start(tmp_path, "-m", "loss.period=range(10,40)", "steps=3000", "hydra.sweep.dir=d")
    time.sleep(seconds)
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err, err
    assert process.returncode in (130, 0), err
    assert not process.returncode or "nterrupted" in err


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """Killed, it cannot end them: they see it themselves, and save what they train."""
    command = [*GRID, "hydra.launcher.workers=2", "hydra.sweep.dir=d", "checkpoint_minutes=0.001"]
    process = start(tmp_path, *command)
    directory = tmp_path / "d"
    until(lambda: len(list((directory / "checkpoints").glob("*.npz"))) == 2)
    process.kill()
    process.wait()
    until(lambda: not workers(directory), 20)


def workers(directory: Path) -> list[str]:
    """Command lines of processes at work in a directory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode().replace("\0", " ")
        except OSError:
            continue
        if "dynsweep.cluster.worker" in command and str(directory) in command:
            found.append(command)
    return found


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks into /proc")
def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    process = subprocess.run(
        f"{sys.executable} -m dynsweep --help | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", env=ENVIRONMENT, cwd=tmp_path,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in process.stderr
