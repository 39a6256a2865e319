"""Full disks, limits, read-only and vanished directories: one line, and what is recorded stays."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT
from test_signals import start, training, until

from dynsweep.store import latest

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]
GRID = ["-m", "loss.period=10,20,40", "loss.amplitude=1,10", "seed=range(0,10)", "steps=100"]
SLOW = pytest.mark.slow
SWEEP = [*GRID, "hydra.sweep.dir=d"]


def limit(size: int) -> Callable[[], None]:
    """No file may grow beyond ``size``: as on a full disk, for any user and without mounting."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "file", "safe"),
    [
        pytest.param(
            100, "d/multirun.yaml", "", marks=SLOW
        ),  # not even Hydra's record of the command
        (13_000, "d/runs/", ""),  # the records of a batch
        pytest.param(
            30_000, "d/weights/", "60 runs are recorded and safe. ", marks=SLOW
        ),  # its weights
    ],
)
def test_no_room_while_training(
    size: int, file: str, safe: str, tmp_path: Path, dynsweep: Dynsweep
) -> None:
    stopped = dynsweep(*SWEEP, preexec_fn=limit(size))
    assert stopped.returncode == 1
    first, *others = stopped.stderr.splitlines()
    assert first.startswith(f"dynsweep: error: {file}")
    assert ": File too large. " in first
    assert first.endswith(f"{safe}To go on from here:" if others else "Nothing was recorded.")
    assert not others or (len(others) == 1 and others[0].endswith("hydra.sweep.dir=d"))
    assert dynsweep(*SWEEP, "report=false").returncode == 0
    assert len(latest(tmp_path / "d")) == 60
    assert not list((tmp_path / "d").rglob("*.partial"))
    if safe:
        return
    records = pd.read_csv(tmp_path / "d" / "results.csv")
    assert len(records) == 60


@SLOW
def test_no_room_for_tables(tmp_path: Path, dynsweep: Dynsweep) -> None:
    assert dynsweep(*SWEEP).returncode == 0
    before = (tmp_path / "d" / "results.csv").read_bytes()
    again = dynsweep(*SWEEP, preexec_fn=limit(50))
    assert again.returncode == 1
    assert "tables and figures not written" in again.stderr or "multirun.yaml" in again.stderr
    assert (tmp_path / "d" / "results.csv").read_bytes() == before
    for module in ("aggregate_command", "trajectory_command"):
        command = [COMMAND[0], "-m", f"dynsweep.cli.{module}", "d", "--output", "o"]
        tables = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
            preexec_fn=limit(50),
        )  # fmt: skip
        assert tables.returncode in (1, 2)
        assert len(tables.stderr.splitlines()) == 1, tables.stderr


@SLOW
def test_a_checkpoint_without_room_stops_nothing(tmp_path: Path, dynsweep: Dynsweep) -> None:
    grid = ["-m", "seed=range(0,200)", "steps=3000", "save_weights=false", "hydra.sweep.dir=d"]
    done = dynsweep(*grid, "checkpoint_minutes=0", "report=false", preexec_fn=limit(150_000))
    assert "goes on without being saved" in done.stdout
    assert len(latest(tmp_path / "d")) == 200


@pytest.fixture
def read_only(tmp_path: Path, dynsweep: Dynsweep) -> Iterator[Path]:
    """A finished sweep on a file system that may not be written to."""
    directory = tmp_path / "d"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(directory)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        assert dynsweep(*SWEEP, "report=false").returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@SLOW
def test_a_finished_sweep_that_may_not_be_written_to(
    read_only: Path, tmp_path: Path, dynsweep: Dynsweep
) -> None:
    again = dynsweep(*SWEEP)
    assert again.returncode == 0
    assert "60 of 60 runs are in d already" in again.stdout
    assert "Read-only file system" in again.stderr
    assert "dynsweep-aggregate d --output OTHER" in again.stderr
    more = dynsweep(*SWEEP, "seed=11")
    assert more.returncode == 1
    assert "d/claims: Read-only file system. 60 runs are recorded and safe." in more.stderr
    command = [COMMAND[0], "-m", "dynsweep.cli.aggregate_command", "d", "--output", "o"]
    subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=True, capture_output=True)
    assert (tmp_path / "o" / "results.csv").exists()


@pytest.mark.parametrize(
    "name",
    ["x" * 300, *(pytest.param(one, marks=SLOW) for one in ("/proc/none/d", "file/d"))],
)
def test_a_directory_that_cannot_be(name: str, tmp_path: Path, dynsweep: Dynsweep) -> None:
    (tmp_path / "file").touch()
    refused = dynsweep(*GRID, f"hydra.sweep.dir={name}")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"dynsweep: error: hydra.sweep.dir={name}: ")
    single = dynsweep("steps=1", f"hydra.run.dir={name}")
    assert single.returncode == 1
    (line,) = single.stderr.splitlines()
    assert line.startswith("dynsweep: error: ")


@SLOW
def test_a_directory_removed_while_it_works(tmp_path: Path) -> None:
    process = start(tmp_path, *SWEEP, "steps=20000", "engine.batch_size=10")
    until(lambda: list((tmp_path / "d").glob("runs/*.jsonl")))
    until(lambda: training(tmp_path / "d"))
    shutil.rmtree(tmp_path / "d", ignore_errors=True)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert err.startswith("dynsweep: error: d/")
    assert "No such file or directory. To go on from here:" in err


@SLOW
def test_commands_on_one_directory_share_its_runs(tmp_path: Path, dynsweep: Dynsweep) -> None:
    """Each run is trained once, whoever does it; each command ends with all of them."""
    first = [*SWEEP, "steps=20000", "engine.batch_size=6", "report=false"]
    # The same runs in another order, and so under other numbers.
    second = [word.replace("=10,20,40", "=40,20,10") for word in first]
    processes = [start(tmp_path, *words) for words in (first, second)]
    ends = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    lines = [line for f in (tmp_path / "d/runs").glob("*.jsonl") for line in f.open()]
    trained = sum('"of":' in line for line in lines)
    assert 60 <= trained <= 60 + 12  # at most a batch twice for each
    assert len(latest(tmp_path / "d")) == 60
    assert any("Another process is at work here" in out for out, _ in ends)
    assert dynsweep(*second).returncode == 0
    table = pd.read_csv(tmp_path / "d" / "results.csv")
    assert sorted(table["number"]) == list(range(60))
    assert table.loc[table["period"] == 10, "number"].min() == 40


@SLOW
def test_work_of_a_killed_command_is_taken_over(tmp_path: Path) -> None:
    """Its claim ends with it; what it left half done is removed."""
    words = [*SWEEP, "steps=60000", "engine.batch_size=30", "report=false"]
    process = start(tmp_path, *words)
    until(lambda: training(tmp_path / "d"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert training(tmp_path / "d")
    for folder in ("", "weights"):
        (tmp_path / "d" / folder).mkdir(exist_ok=True)
    claim = next((tmp_path / "d" / "claims").glob("*.json"))
    owner = claim.read_text().partition('"owner":"')[2].partition('"')[0]
    left = [f"weights/.20260101T000000-{owner}-aaaaaa-1.npz.{owner}-bbbbbb.partial"]
    left += [f"weights/20260101T000000-{owner}-aaaaaa-1.npz", f".results.csv.{owner}-cc.partial"]
    for name in left:
        (tmp_path / "d" / name).write_text("half")
    started = time.monotonic()
    again = start(tmp_path, *words)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert time.monotonic() - started < 100
    assert not [name for name in left if (tmp_path / "d" / name).exists()]
    assert not (tmp_path / "d" / "claims").exists()


@SLOW
def test_secrets_are_not_passed_on(tmp_path: Path, dynsweep: Dynsweep) -> None:
    """In nothing that stands in the directory, of a sweep and of a single run."""
    secrets = ["+hydra.job.env_set.MY_TOKEN=abc123", "+hydra.job.env_set={PASSWORD: abc123}"]
    for word in secrets:
        for mode in (["-m", "hydra.sweep.dir=d"], ["hydra.run.dir=e"]):
            done = dynsweep(*mode, "steps=1", word)
            assert done.returncode == 0, done.stderr
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"abc123" not in path.read_bytes(), path
