"""Sweeps on a real Slurm cluster of three virtual nodes."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import slurm_cluster
from slurm_cluster import Cluster
from slurm_runs import COMMAND, SLURM, run, standing, start, status, tasks, wait_until

from dynsweep.store import METRICS, load_weights, read

REASON = slurm_cluster.available()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
# 60 runs of different lengths of period; 60,000 steps take 0.2 to 1 second of one core.
GRID = ["loss.period=10,20,40,80,160,320", "loss.amplitude=1,20", "seed=range(0,5)"]
# Two tasks on each node; one run after the other, so that there is something done at any time.
SHARED = ["engine.batch_size=1", "hydra.launcher.cpus_per_task=2", "hydra.launcher.tasks=6"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # Arrays of at most five tasks: six make an array and a single job.
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm"), array=5) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The sweep of so many steps, trained in this process; once for each length."""
    known: dict[int, Path] = {}

    def directory(steps: int) -> Path:
        if steps not in known:
            known[steps] = tmp_path_factory.mktemp(f"local{steps}")
            command = [*COMMAND, "-m", *GRID, f"steps={steps}", f"hydra.sweep.dir={known[steps]}"]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        return known[steps]

    return directory


def table(directory: Path) -> pd.DataFrame:
    frame = pd.read_csv(directory / "results.csv").set_index("id").sort_index()
    return frame.drop(columns=["seconds", "number"])


def assert_same(directory: Path, expected: Path) -> None:
    """Equal rows and weights, to the bit, and nothing recorded twice."""
    pd.testing.assert_frame_equal(table(directory), table(expected), check_exact=True)
    records = {entry["id"]: entry for entry in read(directory)}
    assert len(records) == sum(1 for _ in read(directory))
    for entry in read(expected):
        other = records[entry["id"]]
        assert [other[name] for name in METRICS] == [entry[name] for name in METRICS]
        ours = load_weights(directory, other["weights"])[other["id"]]
        for name, value in load_weights(expected, entry["weights"])[entry["id"]].items():
            np.testing.assert_array_equal(ours[name], value)


def recorded(directory: Path, task: dict[str, Any]) -> int:
    launch, shard = Path(task["shard"]).parent.name, Path(task["shard"]).stem
    return sum(1 for _ in read(directory, f"{launch}-{shard}."))


def freeze(directory: Path, found: list[dict[str, Any]]) -> dict[str, int]:
    """Stop each task as soon as it has recorded a run; their processes."""
    pids: dict[str, int] = {}

    def stopped() -> bool:
        for task in found:
            if task["job"] not in pids and recorded(directory, task):
                pids[task["job"]] = status(task)["pid"]
                os.kill(status(task)["pid"], signal.SIGSTOP)
        return len(pids) == len(found)

    wait_until(stopped)
    assert all(0 < recorded(directory, task) < task["runs"] for task in found)
    return pids


def wake(pid: int, after: signal.Signals) -> None:
    """Let a stopped process go on once a signal waits for it, if Slurm has not done so itself."""

    def signalled() -> bool:
        try:
            text = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return True
        lines = dict(line.split(":\t", 1) for line in text.splitlines())
        waiting = int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)
        return bool(waiting >> (after - 1) & 1)

    wait_until(signalled)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def nodes(cluster: Cluster) -> dict[str, str]:
    """The node of each task."""
    lines = cluster.run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%N").split()
    return dict(line.split("|") for line in lines)


def test_same_results_in_one_process_and_in_six_tasks(
    cluster: Cluster, tmp_path: Path, undisturbed: Callable[[int], Path]
) -> None:
    code, text = run(cluster, SLURM, *GRID, *SHARED, "steps=2000", f"hydra.sweep.dir={tmp_path}")
    assert code == 0, text
    found = tasks(tmp_path)
    assert [task["runs"] for task in found] == [10] * 6
    assert {nodes(cluster)[task["job"]] for task in found} == set(slurm_cluster.NODES)
    assert_same(tmp_path, undisturbed(2000))


def test_what_died_is_named_and_the_same_command_goes_on(
    cluster: Cluster, tmp_path: Path, undisturbed: Callable[[int], Path]
) -> None:
    """One task cancelled, one killed, one node lost, one preempted: the rest is there."""
    steps = 400_000  # a task takes far longer than the two seconds that cancelling leaves it
    command = [SLURM, *GRID, *SHARED, f"steps={steps}", f"hydra.sweep.dir={tmp_path}"]
    process = start(cluster, *command)
    wait_until(lambda: list(tmp_path.glob("tasks/*/tasks.json")) and len(tasks(tmp_path)) == 6)
    found = tasks(tmp_path)
    # Each is stopped with something done and something left, however fast this machine is.
    pids = freeze(tmp_path, found)
    where = nodes(cluster)
    by_node = {node: [t for t in found if where[t["job"]] == node] for node in slurm_cluster.NODES}
    (cancelled, killed), lost, preempted = by_node["n1"], by_node["n2"], by_node["n3"]

    cluster.run("scancel", cancelled["job"])
    os.kill(pids[killed["job"]], signal.SIGKILL)
    cluster.fail("n2")
    cluster.run(
        "sbatch", "-o", "/dev/null", "-p", "high", "-w", "n3", "-c", "4", "--wrap", "sleep 3"
    )
    for task in preempted:
        wake(pids[task["job"]], after=signal.SIGUSR2)
    text, _ = process.communicate(timeout=200)
    cluster.recover("n2")

    assert process.returncode == 1, text
    for task, ending in ((cancelled, "was cancelled"), (killed, "died")):
        named = re.search(rf"Task {task['job']} {ending}.*: (\d+) of its 10 runs .* missing", text)
        assert named, text
        left = 10 - recorded(tmp_path, task)
        assert 0 < left == int(named[1])
        assert task["log"] in text
    for task in lost:
        assert recorded(tmp_path, task) == 10, text
    states = [Path(task["log"]).read_text() for task in preempted]
    assert all("Stopped and saved" in log and "Going on from step" in log for log in states)
    missing = 20 - recorded(tmp_path, cancelled) - recorded(tmp_path, killed)
    assert f"{missing} of 60 jobs failed" in text
    assert "To go on from here" in text

    code, text = run(cluster, *command)
    assert code == 0, text
    assert f"{60 - missing} of 60 runs are in" in text
    assert_same(tmp_path, undisturbed(steps))


def test_preemption_signal_saves_requeues_and_ends_with_the_same_result(
    cluster: Cluster, tmp_path: Path, undisturbed: Callable[[int], Path]
) -> None:
    steps = 60_000
    process = start(
        cluster, SLURM, *GRID, "hydra.launcher.tasks=1", "hydra.launcher.cpus_per_task=2",
        f"steps={steps}", f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    wait_until(lambda: list(tmp_path.glob("tasks/*/tasks.json")))
    (task,) = tasks(tmp_path)
    # All 60 runs are one batch, and it is under way.
    wait_until(lambda: 0 < status(task).get("done", 0) < 50)
    cluster.run("scancel", "--signal=USR2", task["job"])
    wait_until(lambda: status(task)["state"] == "requeued")
    assert list((tmp_path / "checkpoints").glob("*.npz"))
    assert not list(read(tmp_path))
    text, _ = process.communicate(timeout=200)
    assert process.returncode == 0, text
    log = Path(task["log"]).read_text()
    step = re.search(r"Going on from step (\d+)", log)
    assert step, log
    assert 0 < int(step[1]) < steps
    assert_same(tmp_path, undisturbed(steps))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["hydra.launcher.partition=nowhere"], "hydra.launcher.partition=nowhere: must be one of"),
        (["hydra.launcher.cpus_per_task=64"], "node configuration is not available"),
        (["hydra.launcher.gpus_per_node=1"], "Invalid generic resource (gres)"),
        (["hydra.launcher.mem_gb=900"], "node configuration is not available"),
        (["hydra.launcher.gpus_per_node=0", "hydra.launcher.gres=x"], "{gpus_per_node=0, gres=x}"),
        (["+hydra.launcher.nodes=2"], "would train the same runs several times"),
        (["+hydra.launcher.additional_parameters.nodelist=n9"], "Invalid node name"),
        (["hydra.launcher.tasks=2", "hydra.launcher.runs_per_task=1"], "give one of them"),
    ],
)
def test_what_slurm_would_refuse_is_told_in_one_line(
    cluster: Cluster, tmp_path: Path, settings: list[str], told: str
) -> None:
    before, started, directory = cluster.queue(), time.monotonic(), tmp_path / "new" / "sweep"
    code, text = run(cluster, SLURM, *GRID, "steps=1", *settings, f"hydra.sweep.dir={directory}")
    assert time.monotonic() - started < 20
    assert code == 2, text
    last = text.strip().splitlines()[-1]
    assert last.startswith("dynsweep: error: hydra.launcher")
    assert told in last
    assert "Traceback" not in text
    assert cluster.queue() == before
    assert not directory.parent.exists()


def test_the_part_that_fits_is_submitted(cluster: Cluster, tmp_path: Path) -> None:
    """sbatch takes the first array and refuses the second, as at a limit of submitted jobs."""
    real = "/usr/bin/sbatch"
    shim = tmp_path / "bin" / "sbatch"
    shim.parent.mkdir()
    shim.write_text(
        f'#!/bin/sh\n[ "$1" = --test-only ] && exec {real} "$@"\n'
        f"if [ -e {tmp_path}/once ]; then echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2;"
        f' exit 1; fi\ntouch {tmp_path}/once; exec {real} "$@"\n'
    )
    shim.chmod(0o755)
    directory = tmp_path / "sweep"
    process = subprocess.run(
        [*COMMAND, "-m", SLURM, *GRID, *SHARED, "steps=10", f"hydra.sweep.dir={directory}"],
        env={**cluster.env, "PATH": f"{shim.parent}:{cluster.env['PATH']}"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    text = process.stdout + process.stderr
    assert process.returncode == 1
    assert "5 of 6 tasks submitted; 10 runs were not: QOSMaxSubmitJobPerUserLimit" in text
    assert "10 of 60 jobs were not submitted: QOSMaxSubmitJobPerUserLimit; the same" in text
    assert "jobs failed" not in text
    assert len(list(read(directory))) == 50


def test_detached_tasks_are_told_of_and_joined(
    cluster: Cluster, tmp_path: Path, undisturbed: Callable[[int], Path]
) -> None:
    command = [SLURM, *GRID, *SHARED, "steps=60000", f"hydra.sweep.dir={tmp_path}"]
    code, text = run(cluster, *command, "hydra.launcher.detach=true")
    assert code == 0, text
    assert "dynsweep-status" in text
    assert not (tmp_path / "results.csv").exists()  # it returns at once
    pids = freeze(tmp_path, tasks(tmp_path))
    word = standing(cluster, tmp_path)
    assert re.search(r"\d+ (running|pending)", word), word
    assert "missing" not in word
    # The same command waits for them, and trains nothing twice.
    process = start(cluster, *command)
    assert process.stdout
    told = itertools.takewhile(
        lambda line: "in 6 tasks of an earlier launch" not in line, process.stdout
    )
    before = "".join(told)
    for pid in pids.values():
        os.kill(pid, signal.SIGCONT)
    text, _ = process.communicate(timeout=200)
    assert process.returncode == 0, before + text
    assert text, before
    assert len(list(tmp_path.glob("tasks/*"))) == 1
    assert_same(tmp_path, undisturbed(60_000))
    expected = f"{tmp_path}: 60 completed; 60 runs in the grid"
    assert standing(cluster, tmp_path).strip() == expected


def test_interrupt_cancels_the_tasks(cluster: Cluster, tmp_path: Path) -> None:
    process = start(cluster, SLURM, *GRID, *SHARED, "steps=2000000", f"hydra.sweep.dir={tmp_path}")
    wait_until(lambda: list(tmp_path.glob("tasks/*/tasks.json")) and len(tasks(tmp_path)) == 6)
    found = tasks(tmp_path)
    wait_until(lambda: any(status(task) for task in found))
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "Asked for the end of Slurm job" in text
    assert "To go on from here" in text
    wait_until(lambda: all(cluster.queue()[t["job"]] == "CANCELLED" for t in found), 30)
    word = standing(cluster, tmp_path)
    assert "60 missing" in word
    assert "cancelled" in word


def test_stock_launcher_works_too(
    cluster: Cluster, tmp_path: Path, undisturbed: Callable[[int], Path]
) -> None:
    code, text = run(
        cluster, "hydra/launcher=submitit_slurm", "loss.period=10,20", "loss.amplitude=20",
        "seed=0", "steps=2000", "hydra.launcher.cpus_per_task=1", f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    assert code == 0, text
    ours = table(tmp_path)
    assert len(ours) == 2
    expected = table(undisturbed(2000)).loc[ours.index]
    assert (ours["train_loss"] == expected["train_loss"]).all()


def test_the_rounds_of_an_adaptive_sweep_are_tasks(cluster: Cluster, tmp_path: Path) -> None:
    """Its cells end with the seeds that one machine would have given them, to the bit."""
    grid = ["loss.period=10,20", "loss.amplitude=5,20", "steps=50", "model.width=8"]
    adaptive = ["hydra/sweeper=adaptive", "hydra.sweeper.error=0.004", "hydra.sweeper.max_seeds=6"]
    words = [*grid, *adaptive, "report=false"]
    slurm = [*words, SLURM, "hydra.launcher.tasks=2", f"hydra.sweep.dir={tmp_path / 'slurm'}"]
    code, said = run(cluster, *slurm)
    assert code == 0, said
    rounds = (tmp_path / "slurm" / "rounds.jsonl").read_text().splitlines()
    assert len(rounds) >= 2
    code, said = run(cluster, *slurm)
    assert code == 0, said
    assert (tmp_path / "slurm" / "rounds.jsonl").read_text().splitlines() == rounds
    local = [*COMMAND, "-m", *words, f"hydra.sweep.dir={tmp_path / 'local'}"]
    subprocess.run(local, check=True, capture_output=True, timeout=100)
    assert_same(tmp_path / "slurm", tmp_path / "local")
