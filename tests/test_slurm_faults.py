"""What goes wrong on a cluster: each fault on a real Slurm, with its line and its exit status."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm_cluster
from slurm_cluster import Cluster
from slurm_runs import SLURM, run, standing, start, status, tasks, wait_until

from dynsweep.store import read

REASON = slurm_cluster.available()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]


# Three tasks of four runs, in an array of two and a single job.
GRID = ["loss.period=10,20,40", "seed=range(0,4)", "engine.batch_size=1", "save_weights=false"]
SWEEP = [SLURM, *GRID, "hydra.launcher.tasks=3", "report=false"]
LONG = "steps=20000000"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("slurm")
    # Cancelled tasks, which ignore SIGTERM, take a while to end.
    with slurm_cluster.cluster(root, array=2, kill_wait=10) as running:
        yield running


@pytest.fixture(autouse=True)
def no_task_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "cluster" in request.fixturenames:
        running: Cluster = request.getfixturevalue("cluster")
        running.run("scancel", "--me")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return tmp_path / "sweep"


def stands_for(folder: Path, command: str, text: str) -> Path:
    """A folder where ``command`` is a script; in it ``$REAL`` is Slurm's own."""
    path = folder / "bin" / command
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nREAL={shutil.which(command)}\nF={folder}\n{text}\n")
    path.chmod(0o755)
    return path.parent


def submitted(sweep: Path) -> int:
    return len(tasks(sweep)) if list(sweep.glob("tasks/*/tasks.json")) else 0


def jobs(sweep: Path) -> set[str]:
    return {task["job"].partition("_")[0] for task in tasks(sweep)}


def one_line(text: str) -> str:
    """The last line, of an error without traceback."""
    assert "Traceback" not in text
    last = text.strip().splitlines()[-1]
    assert last.startswith("dynsweep: error: "), text
    return last


def test_two_launches_and_one_beside_them_train_each_run_once(
    cluster: Cluster, sweep: Path
) -> None:
    command, place = [*GRID, "steps=400000", "report=false"], f"hydra.sweep.dir={sweep}"
    first = start(cluster, SLURM, *command, "hydra.launcher.tasks=2", place)
    time.sleep(0.5)
    second = start(cluster, SLURM, *command, "hydra.launcher.tasks=2", place)
    third = start(cluster, *command, place)
    for process in (first, second, third):
        text, _ = process.communicate(timeout=200)
        assert process.returncode == 0, text
    times = Counter(entry["id"] for entry in read(sweep))
    assert len(times) == 12
    # A batch is one run here; who claims at the very same moment may double one.
    assert times.total() - len(times) <= 4, times
    writers = {path.name.partition(".")[0] for path in (sweep / "runs").iterdir()}
    assert len(writers) >= 2, writers


def test_interrupt_while_a_later_array_is_submitted(
    cluster: Cluster, tmp_path: Path, sweep: Path
) -> None:
    text = '[ "$1" = --test-only ] || { [ -e $F/one ] && sleep 4; touch $F/one; }\nexec $REAL "$@"'
    first = stands_for(tmp_path, "sbatch", text)
    process = start(cluster, *SWEEP, LONG, f"hydra.sweep.dir={sweep}", first=first)
    wait_until(lambda: submitted(sweep) == 2)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    # What was on its way has arrived, is known, and is ended with the others.
    assert len(tasks(sweep)) == 3
    assert f"Asked for the end of Slurm job {', '.join(sorted(jobs(sweep)))}" in told
    wait_until(lambda: {cluster.queue()[t["job"]] for t in tasks(sweep)} == {"CANCELLED"}, 20)


def test_interrupt_while_sbatch_tries_again(cluster: Cluster, tmp_path: Path, sweep: Path) -> None:
    """sbatch is ended; that it had reached Slurm before is found out."""
    text = (
        '[ "$1" = --test-only ] && exec $REAL "$@"\n$REAL "$@" > /dev/null\n'
        "echo 'sbatch: error: sleeping and retrying' >&2\nexec sleep 100"
    )
    first = stands_for(tmp_path, "sbatch", text)
    waits = "+hydra.launcher.additional_parameters.hold=true"
    process = start(cluster, *SWEEP, LONG, waits, f"hydra.sweep.dir={sweep}", first=first)
    wait_until(lambda: list(sweep.glob(".submitit/.submission*")))
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told.count("sbatch: sleeping and retrying") == 1
    assert f"Asked for the end of Slurm job {jobs(sweep).pop()}" in told
    wait_until(lambda: {cluster.queue()[t["job"]] for t in tasks(sweep)} == {"CANCELLED"}, 20)


def test_without_the_controller(cluster: Cluster, sweep: Path) -> None:
    """Interrupting, going on and asking are told in one line each; the tasks go on."""
    place = f"hydra.sweep.dir={sweep}"
    process = start(cluster, *SWEEP, LONG, place)
    wait_until(lambda: submitted(sweep) == 3 and all(status(task) for task in tasks(sweep)))
    with cluster.without_controller():
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 130, text
        assert "The tasks go on, as they could not be cancelled" in text
        assert f"to end them: scancel {' '.join(sorted(jobs(sweep)))}" in text
        code, text = run(cluster, *SWEEP, LONG, place)
        assert code == 2
        assert "squeue: Unable to contact slurm controller" in one_line(text)
        new = sweep.with_name("new")
        code, text = run(cluster, *SWEEP, LONG, f"hydra.sweep.dir={new}")
        assert code == 2
        assert "sbatch: Unable to contact slurm controller" in one_line(text)
        assert not new.exists()
        assert "12 running" in standing(cluster, sweep)


def test_interrupt_and_the_same_command_at_once(cluster: Cluster, sweep: Path) -> None:
    # Runs that are not all done before Slurm kills the tasks, on a fast machine either.
    command = [*SWEEP, "steps=1600000", f"hydra.sweep.dir={sweep}"]
    process = start(cluster, *command)
    wait_until(lambda: submitted(sweep) == 3 and all(status(task) for task in tasks(sweep)))
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "COMPLETING" in cluster.queue().values())
    code, text = run(cluster, *command)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert code == 0, text
    assert "of an earlier launch" in text
    assert re.search(r"\d+ runs, left by tasks of an earlier launch that died, are subm", text)
    assert len({entry["id"] for entry in read(sweep)}) == 12


def test_a_submit_limit_is_heard_of_while_the_others_are_watched(
    cluster: Cluster, tmp_path: Path, sweep: Path
) -> None:
    text = (
        '[ "$1" = --test-only ] && exec $REAL "$@"\n'
        '[ -e $F/one ] || { touch $F/one; exec $REAL "$@"; }\nfor k in 1 2 3 4; do\n'
        "echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying' >&2\n"
        "sleep 6; done\necho 'sbatch: error: Batch job submission failed: Resource temporarily "
        "unavailable' >&2; exit 1"
    )
    first = stands_for(tmp_path, "sbatch", text)
    code, told = run(cluster, *SWEEP, "steps=10", f"hydra.sweep.dir={sweep}", first=first)
    assert code == 1, told
    words = "sbatch: Slurm temporarily unable to accept job, sleeping and retrying"
    assert told.count(words) == 1
    end = "2 of 3 tasks submitted; 4 runs were not: Resource temporarily unavailable"
    assert told.index(words) < told.index("2 finished") < told.index(end), told
    last = told[told.index("dynsweep: error: ") :]
    assert "4 of 12 jobs were not submitted: Resource temporarily unavailable; the same" in last
    assert "failed" not in last
    code, told = run(cluster, *SWEEP, "steps=10", f"hydra.sweep.dir={sweep}")
    assert code == 0, told
    assert "4 runs in" in told


def test_sbatch_slower_than_a_minute(cluster: Cluster, tmp_path: Path, sweep: Path) -> None:
    """Submitting is waited for, and said so once; a mere question is given up."""
    slow = [
        '[ "$1" = --test-only -o -e $F/one ] || { touch $F/one; sleep 65; }\nexec $REAL "$@"',
        '[ "$1" != --test-only ] || exec sleep 65\nexec $REAL "$@"',
    ]
    folders = [tmp_path / name for name in ("submits", "asks")]
    processes = []
    for folder, text in zip(folders, slow, strict=True):
        folder.mkdir()
        first, place = stands_for(folder, "sbatch", text), f"hydra.sweep.dir={folder / 'sweep'}"
        processes.append(start(cluster, *SWEEP, "steps=10", place, first=first))
    (submits, asks) = ((p.communicate(timeout=200)[0], p.returncode) for p in processes)
    assert asks[1] == 2, asks[0]
    assert "sbatch: no answer in a minute" in one_line(asks[0])
    assert not (folders[1] / "sweep").exists()
    assert submits[1] == 0, submits[0]
    assert submits[0].count("sbatch has not answered for a minute; waiting for it") == 1
    assert len(list(read(folders[0] / "sweep"))) == 12


def test_what_else_squeue_prints_is_passed_over(
    cluster: Cluster, tmp_path: Path, sweep: Path
) -> None:
    text = "echo 'maintenance | on | friday'; echo; $REAL \"$@\"; echo 'squeue: bye|BYE|'"
    first = stands_for(tmp_path, "squeue", text)
    code, told = run(cluster, *SWEEP, "steps=10", f"hydra.sweep.dir={sweep}", first=first)
    assert code == 0, told


def test_an_outage_that_comes_and_goes_is_named_once(
    cluster: Cluster, tmp_path: Path, sweep: Path
) -> None:
    text = (
        "[ -e $F/bad ] && { rm $F/bad; echo 'slurm_load_jobs error: Zero Bytes' >&2; exit 1; }\n"
        'touch $F/bad; exec $REAL "$@"'
    )
    first = stands_for(tmp_path, "squeue", text)
    command = [*SWEEP, "steps=200000", f"hydra.sweep.dir={sweep}"]
    code, told = run(cluster, *command, first=first)
    assert code == 0, told
    assert told.count("squeue: Zero Bytes; the tasks go on; asking again") == 1
    assert len(re.findall(r"Slurm answers again, after \d+ s", told)) == 1


def test_a_directory_that_is_removed_while_tasks_wait(cluster: Cluster, sweep: Path) -> None:
    later = "+hydra.launcher.additional_parameters.begin=now+3600"
    process = start(cluster, *SWEEP, LONG, later, f"hydra.sweep.dir={sweep}")
    wait_until(lambda: submitted(sweep) == 3)
    ids = " ".join(sorted(jobs(sweep)))
    shutil.rmtree(sweep)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1, text
    assert "Traceback" not in text
    assert (
        f"{sweep}: is no longer there, and its tasks cannot work; to end them: scancel {ids}"
        in (text)
    )


def test_held_tasks_are_named_with_what_releases_them(cluster: Cluster, sweep: Path) -> None:
    held = "+hydra.launcher.additional_parameters.hold=true"
    process = start(cluster, *SWEEP, held, "steps=10", f"hydra.sweep.dir={sweep}")
    wait_until(lambda: submitted(sweep) == 3)
    time.sleep(6)
    for job in jobs(sweep):
        cluster.run("scontrol", "release", job)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0, text
    command = f"scontrol release {','.join(sorted(jobs(sweep)))}"
    line = f"are pending (JobHeldUser) wait until they are released, 3 of them: {command}"
    assert text.count("are released") == text.count(line) == 1, text


@pytest.mark.parametrize(
    ("setup", "why"),
    [
        (["module load cuda", "exit 3"], "line [0-9]+: module: command not found"),
        (["echo 'no licence today' >&2; exit 3"], "no licence today"),
        (["export PYTHONPATH={folder}"], "ImportError: libfoo.so: no such library"),
    ],
)
def test_the_line_that_says_why_tasks_died_is_quoted_once(
    cluster: Cluster, tmp_path: Path, sweep: Path, setup: list[str], why: str
) -> None:
    (tmp_path / "submitit").mkdir()
    broken = "raise ImportError('libfoo.so: no such library')"
    (tmp_path / "submitit" / "__init__.py").write_text(broken)
    lines = ", ".join(f'"{line.format(folder=tmp_path)}"' for line in setup)
    given = f"hydra.launcher.setup=[{lines}]"
    code, text = run(cluster, *SWEEP, given, "steps=10", f"hydra.sweep.dir={sweep}")
    assert code == 1, text
    assert "Traceback" not in text
    named = re.findall(rf"Tasks .+ and 1 more died \({why}\): 12 of their 12 runs", text)
    assert len(named) == 1, text
    # Again as the reason of the first job.
    assert len(re.findall(why, text.partition("To go on")[0])) == 2


def test_an_exhausted_time_limit_is_told(cluster: Cluster, sweep: Path) -> None:
    # Below ten minutes submitit takes each signal for the time limit.
    limit = ["hydra.launcher.timeout_min=5", "hydra.launcher.max_num_timeout=0"]
    process = start(cluster, *SWEEP, *limit, LONG, f"hydra.sweep.dir={sweep}")
    wait_until(lambda: submitted(sweep) == 3 and all(status(task) for task in tasks(sweep)))
    for task in tasks(sweep):
        cluster.run("scancel", "--signal=USR2", task["job"])
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 1, text
    why = "UncompletedJobError: Job not requeued because: timed-out too many times"
    assert len(re.findall(rf"Tasks? .* died \(.*{why}.*\): \d+ of", text)) == 1, text


def test_status_of_a_directory_that_was_moved_and_lost_a_shard(
    cluster: Cluster, sweep: Path
) -> None:
    code, text = run(
        cluster, *SWEEP, LONG, "hydra.launcher.detach=true", f"hydra.sweep.dir={sweep}"
    )
    assert code == 0, text
    wait_until(lambda: all(status(task) for task in tasks(sweep)))
    cluster.run("scancel", *jobs(sweep))
    wait_until(lambda: {cluster.queue()[t["job"]] for t in tasks(sweep)} == {"CANCELLED"}, 20)
    moved = sweep.rename(sweep.with_name("moved"))
    assert f"{moved}: 12 missing" in standing(cluster, moved)
    Path(tasks(moved)[0]["shard"]).unlink()
    assert f"{moved}: 12 missing" in standing(cluster, moved)  # as the command says
    code, text = run(cluster, *SWEEP, "steps=10", f"hydra.sweep.dir={moved}")
    assert code == 0, text


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
