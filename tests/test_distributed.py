"""Sharing a sweep among processes of this machine, and what shares are made of."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dynsweep.cluster import slurm
from dynsweep.cluster.cost import work
from dynsweep.cluster.sharding import Dealing, cut, deal
from dynsweep.cluster.shards import Share, write_shares
from dynsweep.config import RunConfig, SharpnessConfig, run_config
from dynsweep.engines import devices
from dynsweep.errors import ConfigError
from dynsweep.launchers.jobs import Job
from dynsweep.store.records import read

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]
MakeRun = Callable[..., RunConfig]
GRID = ["loss.period=10,20,40", "loss.amplitude=1,20", "seed=0,1", "save_weights=false"]
LOCAL = ["hydra/launcher=fused_local", "hydra.launcher.timeout_min=20"]


def test_cut_is_even_and_keeps_order() -> None:
    assert cut([1] * 10, 3) == [range(3), range(3, 7), range(7, 10)]
    assert cut([8, 1, 1, 1, 1, 1, 1, 1, 1], 2) == [range(1), range(1, 9)]
    assert cut([1] * 4, 4) == [range(i, i + 1) for i in range(4)]
    assert cut([1] * 7, 2, most=3) == [range(3), range(3, 6), range(6, 7)]


def test_shares_are_even_in_work_and_break_few_batches(make_run: MakeRun) -> None:
    """Widths and lengths differ by twenty; shares differ by no more than the largest run."""
    runs = [
        make_run(width=width, steps=steps, seed=seed)
        for seed in range(12)
        for width, steps in ((100, 1000), (1000, 1000), (100, 20000))
    ]
    parts = deal(runs, Dealing(tasks=5))
    assert sorted(p for part in parts for p in part) == list(range(len(runs)))
    efforts = [sum(work(runs[p]) for p in part) for part in parts]
    assert max(efforts) - min(efforts) <= max(work(run) for run in runs)
    kinds = [len({(runs[p].model.width, runs[p].steps) for p in part}) for part in parts]
    assert sum(kinds) <= 3 + 5 - 1  # every cut breaks one kind at most


def test_work_follows_width_steps_and_measurements(make_run: MakeRun) -> None:
    plain = work(make_run(width=100, steps=10000))
    assert work(make_run(width=1000, steps=10000)) == pytest.approx(9 * plain, rel=0.05)
    assert work(make_run(width=100, steps=20000)) == pytest.approx(2 * plain, rel=0.01)
    measured = make_run(width=100, steps=10000)
    measured.observe.sharpness = SharpnessConfig(every=10, order=10)
    assert work(measured) == pytest.approx(3 * plain, rel=0.01)


@pytest.mark.parametrize(
    ("how", "count"),
    [
        (Dealing(tasks=4), 4),
        (Dealing(tasks=400), 20),
        (Dealing(runs_per_task=6), 4),
        (Dealing(minutes_per_task=1e6), 1),
        (Dealing(default_minutes=1e-9), 20),
    ],
)
def test_number_of_shares(make_run: MakeRun, how: Dealing, count: int) -> None:
    assert len(deal([make_run(seed=seed) for seed in range(20)], how)) == count


def test_dealing_settings_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"runs_per_task=3: excludes hydra.launcher.tasks=2"):
        Dealing(tasks=2, runs_per_task=3).check()
    with pytest.raises(ConfigError, match=r"minutes_per_task=-1: must be above 0"):
        Dealing(minutes_per_task=-1).check()


def test_share_file_keeps_jobs_and_says_common_settings_once(tmp_path: Path) -> None:
    settings = {"dataset": {"name": "spirals", "noise": 0.2}, "seed": 0, "milestones": [1, 2]}
    jobs = [Job(n, [f"seed={n}"], {**settings, "seed": n}) for n in range(50)]
    (share,) = write_shares(tmp_path, tmp_path, "launch-", [jobs])
    again = Share.read(share.path)
    assert list(again.jobs) == jobs
    assert again.label == "launch-0000."
    assert share.path.read_text().count("noise") == 1


@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        ({}, 64),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"SLURM_CPUS_ON_NODE": "8"}, 8),
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_CPUS_ON_NODE": "8"}, 2),
        ({"OMP_NUM_THREADS": "4,2", "SLURM_CPUS_ON_NODE": "0"}, 64),
    ],
)
def test_threads_within_what_slurm_gave(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], threads: int
) -> None:
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(devices, "_cgroup_threads", lambda: None)
    assert devices.available_threads() == threads


def test_memory_within_what_slurm_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = devices.available_memory("cpu")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "7")
    assert devices.available_memory("cpu") == 7 * 2**20 < whole
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "3")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert devices.available_memory("cpu") == 12 * 2**20


def test_slurms_words_in_one_line() -> None:
    text = (
        "sbatch: error: invalid partition specified: x\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    )
    assert slurm.words(text) == (
        "invalid partition specified: x; Invalid partition name specified"
    )
    assert slurm.TaskState("PENDING", "PartitionConfig").stuck
    assert not slurm.TaskState("PENDING", "Priority").stuck


def rows(directory: Path) -> pd.DataFrame:
    frame = pd.read_csv(directory / "results.csv").set_index("id").sort_index()
    return frame.drop(columns="seconds")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The grid in this process."""
    directory = tmp_path_factory.mktemp("alone")
    start(directory, *GRID, "steps=3000", "hydra.sweep.dir=out").communicate(timeout=200)
    return rows(directory / "out")


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dynsweep.cli.main", "-m", *arguments],
        cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


@pytest.mark.slow
def test_several_workers_of_the_default_launcher(
    tmp_path: Path, dynsweep: Dynsweep, alone: pd.DataFrame
) -> None:
    done = dynsweep("-m", *GRID, "steps=3000", "hydra.launcher.workers=2", "hydra.sweep.dir=out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 runs on 2 workers" in done.stdout
    pd.testing.assert_frame_equal(rows(tmp_path / "out"), alone, check_exact=True)
    # Runs that went through a share's file are the runs that were composed.
    shares = [Share.read(p) for p in (tmp_path / "out").glob("tasks/*/[0-9]*[0-9].json")]
    found = {run_config(job.config).identity() for share in shares for job in share.jobs}
    assert found == {entry["id"] for entry in read(tmp_path / "out")}
    assert len(found) == 12
    assert len(list((tmp_path / "out" / "runs").glob("*.jsonl"))) == 2


@pytest.mark.slow
def test_a_killed_worker_costs_its_own_runs_only(
    tmp_path: Path, dynsweep: Dynsweep, alone: pd.DataFrame
) -> None:
    command = [*GRID, "hydra.launcher.workers=2", "hydra.sweep.dir=out"]
    process = start(tmp_path, *command, "steps=2000000", "engine.threads=1")
    deadline = time.monotonic() + 60
    while not (found := list(tmp_path.glob("out/tasks/*/0000.status.json"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(json.loads(found[0].read_text())["pid"], signal.SIGKILL)
    # The other one is not waited for: it is ended with the command, and both go on later.
    time.sleep(3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    log = found[0].with_name("0001.log").read_text()
    assert "Traceback" not in log
    done = dynsweep("-m", *command, "steps=3000")
    assert done.returncode == 0, done.stdout + done.stderr
    pd.testing.assert_frame_equal(rows(tmp_path / "out"), alone, check_exact=True)


@pytest.mark.slow
def test_a_worker_that_dies_is_named(tmp_path: Path) -> None:
    process = start(
        tmp_path, *GRID, "hydra.launcher.workers=2", "steps=60000", "hydra.sweep.dir=out"
    )
    deadline = time.monotonic() + 60
    while not (found := list(tmp_path.glob("out/tasks/*/0000.status.json"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(json.loads(found[0].read_text())["pid"], signal.SIGKILL)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1, text
    assert "6 of 12 jobs failed" in text
    assert "its worker was killed by SIGKILL; log:" in text
    assert len(list(read(tmp_path / "out"))) == 6


def test_local_tasks(tmp_path: Path, dynsweep: Dynsweep, alone: pd.DataFrame) -> None:
    """Three tasks, two at a time, which outlive the command."""
    done = dynsweep(
        "-m", *LOCAL, *GRID, "steps=3000", "hydra.launcher.tasks=3",
        "hydra.launcher.array_parallelism=2", "hydra.sweep.dir=out",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 runs in 3 tasks of up to 4 runs" in done.stdout
    pd.testing.assert_frame_equal(rows(tmp_path / "out"), alone, check_exact=True)


@pytest.mark.slow
def test_local_task_detached_then_stuck_then_joined(tmp_path: Path, dynsweep: Dynsweep) -> None:
    command = [*LOCAL, *GRID, "steps=2000000", "engine.threads=1", "hydra.sweep.dir=out"]
    started = time.monotonic()
    done = dynsweep("-m", *command, "hydra.launcher.detach=true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - started < 30  # the task takes minutes
    share = next(iter((tmp_path / "out").glob("tasks/*/0000.json")))
    path = share.with_suffix(".status.json")
    deadline = time.monotonic() + 60
    while not (path.exists() and json.loads(path.read_text())["done"] > 0):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    pid = json.loads(path.read_text())["pid"]
    os.kill(pid, signal.SIGSTOP)
    process = start(tmp_path, *command, "hydra.launcher.stall_minutes=0.05")
    time.sleep(12)
    process.send_signal(signal.SIGINT)  # asks for the end of tasks
    text, _ = process.communicate(timeout=60)
    os.kill(pid, signal.SIGKILL)
    assert "12 runs are in 1 tasks of an earlier launch" in text
    assert re.search(r"Task \d+ has got no further for 0 minutes; log: \S+", text), text


def test_detaching_more_local_tasks_than_places_is_refused(dynsweep: Dynsweep) -> None:
    done = dynsweep(
        "-m", *LOCAL, *GRID, "steps=10", "hydra.launcher.tasks=3", "hydra.launcher.detach=true"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dynsweep: error: hydra.launcher.detach=True: 3 tasks;")


@pytest.mark.slow
def test_status_of_a_plain_sweep(tmp_path: Path, dynsweep: Dynsweep) -> None:
    assert dynsweep("-m", *GRID, "steps=5", "hydra.sweep.dir=out").returncode == 0
    command = [sys.executable, "-m", "dynsweep.cli.aggregate_command", "out", "--status"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "out: 12 completed\n"
    command[3] = "nothing"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nothing: no such directory" in done.stderr


@pytest.mark.slow
def test_other_apps_are_sent_to_the_stock_launcher(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "import hydra\nfrom dynsweep.launchers.registration import register\nregister()\n"
        "@hydra.main(version_base='1.3', config_path=None)\ndef main(cfg): pass\nmain()\n"
    )
    command = [sys.executable, str(app), "-m", "hydra/launcher=fused_slurm", "+a=1,2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "for another app take submitit_slurm" in done.stdout + done.stderr
