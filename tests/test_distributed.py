"""Sharing a sweep among workers: shards, processes of this machine, and what follows tasks."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dynsweep.cluster import commands, launch, slurm_launch, status, worker
from dynsweep.cluster.balance import balanced, cut, operations, shard_count
from dynsweep.cluster.launch import run_here
from dynsweep.cluster.monitor import Monitor, TaskState
from dynsweep.cluster.shards import (
    Shard,
    Submission,
    WorkerStatus,
    new_launch,
    read_submissions,
    write_shards,
    write_submissions,
)
from dynsweep.cluster.slurm_launch import run_on_slurm
from dynsweep.cluster.worker import STOP_SIGNAL, LocalExecutor, Worker
from dynsweep.config import EngineConfig, ObserveConfig, Run, RunConfig, SharpnessConfig, replaced
from dynsweep.config.launchers import SlurmConf, slurm_conf
from dynsweep.engines import devices
from dynsweep.errors import ConfigError, Preempted, RunFailed, SlurmError
from dynsweep.store import METRICS, read
from dynsweep.sweep.progress import Progress
from dynsweep.sweep.runner import run_sweep

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]
MakeRun = Callable[..., RunConfig]
MakeRuns = Callable[..., list[Run]]
GRID = ["loss.period=10,20,40", "loss.amplitude=1,20", "seed=0,1", "save_weights=false"]


@pytest.fixture
def make_runs(make_run: MakeRun) -> MakeRuns:
    """Runs of different seeds, numbered from 5."""

    def make(seeds: int = 6, **settings: Any) -> list[Run]:
        settings = {"steps": 20, "width": 8, "engine": EngineConfig("reference"), **settings}
        return [
            Run(5 + seed, [f"seed={seed}"], make_run(seed=seed, **settings))
            for seed in range(seeds)
        ]

    return make


class TestShards:
    def test_cut_is_even_and_keeps_order(self) -> None:
        assert cut([1] * 10, 3) == [range(3), range(3, 7), range(7, 10)]
        assert cut([8, 1, 1, 1, 1, 1, 1, 1, 1], 2) == [range(1), range(1, 9)]
        assert cut([1] * 4, 4) == [range(i, i + 1) for i in range(4)]
        assert cut([1] * 7, 2, most=3) == [range(3), range(3, 6), range(6, 7)]

    def test_even_in_work_and_few_batches_broken(self, make_run: MakeRun) -> None:
        """Widths and lengths differ by twenty; shards differ by no more than the largest run."""
        runs = [
            Run(number, [], make_run(width=width, steps=steps, seed=seed))
            for number, (seed, (width, steps)) in enumerate(
                itertools.product(range(12), ((100, 1000), (1000, 1000), (100, 20000)))
            )
        ]
        parts = balanced(runs, 5)
        numbers = [run.number for part in parts for run in part]
        assert sorted(numbers) == list(range(len(runs)))
        work = [sum(operations(run.settings) for run in part) for part in parts]
        assert max(work) - min(work) <= max(operations(run.settings) for run in runs)
        kinds = [
            len({(run.settings.model.width, run.settings.steps) for run in part}) for part in parts
        ]
        assert sum(kinds) <= 3 + 5 - 1  # every cut breaks one kind at most

    def test_work_follows_width_steps_and_measurements(self, make_run: MakeRun) -> None:
        plain = operations(make_run(width=100, steps=10000))
        assert operations(make_run(width=1000, steps=10000)) == pytest.approx(9 * plain, rel=0.05)
        assert operations(make_run(width=100, steps=20000)) == pytest.approx(2 * plain, rel=0.01)
        observe = ObserveConfig(sharpness=SharpnessConfig(every=10, order=10))
        measured = make_run(width=100, steps=10000, observe=observe)
        assert operations(measured) == pytest.approx(3 * plain, rel=0.01)

    @pytest.mark.parametrize(
        ("settings", "count"),
        [
            ({"tasks": 4}, 4),
            ({"tasks": 400}, 20),
            ({"runs_per_task": 6}, 4),
            ({"minutes_per_task": 1e6}, 1),
            ({"minutes_per_task": 1e-9}, 20),
            ({}, 1),
        ],
    )
    def test_their_number(self, make_runs: MakeRuns, settings: dict[str, Any], count: int) -> None:
        assert shard_count(make_runs(20), SlurmConf(**settings)) == count

    def test_a_file_keeps_runs_and_says_common_settings_once(
        self, make_runs: MakeRuns, tmp_path: Path
    ) -> None:
        runs = [*make_runs(50), *make_runs(1, width=9)]
        (shard,) = write_shards(new_launch(tmp_path), [runs])
        again = Shard.read(shard.path)
        assert list(again.runs) == runs
        assert [run.settings.identity() for run in again.runs] == [
            run.settings.identity() for run in runs
        ]
        assert again.directory == tmp_path
        assert again.label == f"{shard.path.parent.name}-0000."
        assert shard.path.read_text().count("noise") == 1

    def test_a_sweep_directory_may_be_moved(self, make_runs: MakeRuns, tmp_path: Path) -> None:
        before, after = tmp_path / "before", tmp_path / "after"
        folder = new_launch(before)
        (shard,) = write_shards(folder, [make_runs()])
        inside, outside = before / ".submitit" / "1.err", tmp_path / "1.err"
        write_submissions(
            folder,
            [Submission(shard.path, "1_0", log, 6, "slurm") for log in (inside, outside)],
        )
        before.rename(after)
        first, second = read_submissions(after)
        assert first.log == after / ".submitit" / "1.err"
        assert second.log.resolve() == outside
        assert (first.job, first.runs, first.scheduler) == ("1_0", 6, "slurm")
        assert Shard.read(first.shard).directory == after

    def test_launches_of_older_versions_are_left_out(self, tmp_path: Path) -> None:
        tasks = new_launch(tmp_path) / "tasks.json"
        tasks.write_text('{"pool": "slurm", "tasks": [{"share": "/x/0000.json", "job": "1"}]}')
        assert read_submissions(tmp_path) == []
        assert status.report(tmp_path) == f"{tmp_path}: no runs yet"


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "text"),
        [
            ({"tasks": 2, "runs_per_task": 3}, "runs_per_task=3: excludes hydra.launcher.tasks=2"),
            ({"minutes_per_task": -1.0}, "minutes_per_task=-1.0: must be a finite number above 0"),
            ({"timeout_min": 0}, "timeout_min=0: must be a finite number, at least 1"),
            ({"array_parallelism": -3}, "array_parallelism=-3: must be"),
            ({"on_interrupt": "stop"}, "on_interrupt=stop: must be one of cancel, detach"),
            ({"timeout_min": -5}, "timeout_min=-5: must be a finite number, at least 1"),
            ({"array_parallelism": 0}, "array_parallelism=0: must be"),
            ({"timeout_min": 2}, "min=2: these minutes must be longer than hydra.launcher.signal"),
            ({"nodes": 2}, "nodes=2: would train the same runs several times; more tasks:"),
            ({"tasks_per_node": 2}, "tasks_per_node=2: would train the same runs several times"),
            ({"additional_parameters": {"ntasks-per-node": 2}}, "ters.ntasks-per-node=2: would"),
            ({"additional_parameters": {"nodes": 1}}, "parameters.nodes=1: would train"),
            ({"additional_parameters": {"array": "0-3"}}, "parameters.array=0-3: would train"),
            ({"additional_parameters": {"time": 5}}, "give hydra.launcher.timeout_min instead"),
            ({"partitions": "gpu"}, "did you mean partition?"),
        ],
    )
    def test_what_is_refused(self, settings: dict[str, Any], text: str) -> None:
        with pytest.raises(ConfigError) as raised:
            slurm_conf(settings)
        assert str(raised.value).startswith("hydra.launcher.")
        assert text in str(raised.value)


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
    monkeypatch.setattr(devices, "_cgroup", lambda *files: [])
    assert devices.available_threads() == threads


def test_memory_within_what_slurm_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = devices.available_memory("cpu")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "7")
    assert devices.available_memory("cpu") == 7 * 2**20 < whole
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "3")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert devices.available_memory("cpu") == 12 * 2**20


class TestWhatSlurmSays:
    def test_words_in_one_line(self) -> None:
        text = (
            "sbatch: error: invalid partition specified: x\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
        )
        assert commands.words(text) == (
            "invalid partition specified: x; Invalid partition name specified"
        )

    def test_states(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Foreign lines are passed over; a forgotten job makes squeue tell of none."""
        command = tmp_path / "squeue"
        command.write_text(
            "#!/bin/sh\n"
            'case "$*" in *--me*) ;;'
            " *) echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1;; esac\n"
            "echo 'squeue: maintenance on | friday'\n"
            "echo '7_0|PENDING|Priority\n7_1|PENDING|None\n7_2|TIMEOUT|x\n7_3|COMPLETING|None'\n"
        )
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert commands.states(["7_0", "6_1"]) == {
            "7_0": TaskState("pending (Priority)", True),
            "7_1": TaskState("pending", True),
            "7_2": TaskState("ran out of time", False),
            "7_3": TaskState("completing", True),
        }
        command.write_text("#!/bin/sh\necho 'squeue: error: Unable to contact' >&2; exit 1\n")
        with pytest.raises(SlurmError, match=r"^squeue: Unable to contact$"):
            commands.states(["7_0"])


class InProcessExecutor(LocalExecutor):
    """One worker after the other in this process."""

    def submit(self, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
        for shard in shards:
            handler = signal.getsignal(STOP_SIGNAL)
            try:
                Worker(shard.path)()
            except Exception as error:
                logging.getLogger(__name__).error("%s", error)
            finally:
                signal.signal(STOP_SIGNAL, handler)
            log_file = shard.path.with_suffix(".log")
            yield [Submission(shard.path, shard.path.stem, log_file, len(shard.runs), "local")]

    def states(self, jobs: Iterable[str]) -> dict[str, TaskState]:
        return {}


@pytest.mark.parametrize(
    "executor", [InProcessExecutor, pytest.param(LocalExecutor, marks=pytest.mark.slow)]
)
class TestRunHere:
    """What holds however workers are started on this machine."""

    @pytest.fixture(autouse=True)
    def started_so(self, executor: type[LocalExecutor], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launch, "LocalExecutor", executor)

    def test_as_in_one_process(self, make_runs: MakeRuns, tmp_path: Path) -> None:
        runs = make_runs()
        expected = run_sweep(runs, tmp_path / "one")
        assert run_here(runs, tmp_path / "all", 3) == expected
        one = {entry["id"]: entry for entry in read(tmp_path / "one")}
        entries = list(read(tmp_path / "all"))
        assert len(entries) == 6
        for entry in entries:
            for name in ("number", "overrides", "config", "status", *METRICS):
                assert entry[name] == one[entry["id"]][name]
        assert len(list((tmp_path / "all" / "runs").iterdir())) == 3
        assert status.report(tmp_path / "all") == f"{tmp_path / 'all'}: 6 completed"

    def test_goes_on_with_what_is_missing(self, make_runs: MakeRuns, tmp_path: Path) -> None:
        run_sweep(make_runs(2), tmp_path)
        assert None not in run_here(make_runs(5), tmp_path, 2)
        assert len(list(read(tmp_path))) == 5
        assert None not in run_here(make_runs(5), tmp_path, 2)
        assert len(list(tmp_path.glob("tasks/*"))) == 1

    def test_a_worker_that_fails_is_named_with_its_runs(
        self, make_runs: MakeRuns, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        *runs, last = make_runs(4)
        negative = replaced(last.settings, {"optimizer.lr": -1.0})
        runs.append(replace(last, settings=negative))
        results = run_here(runs, tmp_path, 4, unfit={})  # unchecked here; its worker does
        assert [isinstance(result, RunFailed) for result in results] == [False] * 3 + [True]
        assert "ConfigError: optimizer.lr=-1.0" in str(results[3])
        assert re.search(r"; log: /\S+/000\d\.log$", str(results[3]))
        assert "1 of its 1 runs (#8 to #8) are missing" in caplog.text
        assert ": 3 completed, 1 missing\n" in status.report(tmp_path)


def test_one_worker_is_this_process(make_runs: MakeRuns, tmp_path: Path) -> None:
    assert None not in run_here(make_runs(2), tmp_path)
    assert not (tmp_path / "tasks").exists()


@pytest.mark.slow
def test_a_preempted_task_with_several_workers_saves_and_goes_on(
    make_runs: MakeRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with several GPUs: all are asked to stop, and each goes on from its checkpoint."""
    monkeypatch.setattr(worker, "worker_count", lambda *given: 2)
    engine = EngineConfig("auto", threads=1)
    runs = make_runs(4, steps=100_000, width=100, engine=engine)
    (shard,) = write_shards(new_launch(tmp_path), [runs])
    children = [shard.path.with_name(f"0000.000{k}.json") for k in range(2)]

    def under_way() -> bool:
        statuses = [WorkerStatus.read(child) for child in children]
        return all(status is not None and 0 < status.done < 2 for status in statuses)

    with pytest.raises(Preempted):
        worker.train_shard(shard, under_way, Progress)
    assert len(list((tmp_path / "checkpoints").glob("*.npz"))) == 2
    assert not list(read(tmp_path))
    worker.train_shard(shard, lambda: False, Progress)
    logs = [child.with_suffix(".log").read_text() for child in children]
    assert all("Stopped and saved" in text and "Going on from step" in text for text in logs)
    assert len(list(read(tmp_path, shard.label))) == 4


class Tasks:
    """An executor whose tasks are as the test says."""

    grace = 0.0
    pause = 0.0

    def __init__(self, *runs: list[Run], directory: Path) -> None:
        self.folder = new_launch(directory)
        self.shards = write_shards(self.folder, runs)
        self.submissions = [
            Submission(shard.path, f"7_{k}", Path(f"/logs/{k}"), len(shard.runs), "slurm")
            for k, shard in enumerate(self.shards)
        ]
        self.known = dict.fromkeys((one.job for one in self.submissions), RUNNING)
        self.silent = False

    def submit(self, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
        yield self.submissions

    def states(self, jobs: Iterable[str]) -> dict[str, TaskState]:
        if self.silent:
            raise SlurmError("squeue: no answer in a minute")
        return self.known


RUNNING = TaskState("running", alive=True)


class TestMonitor:
    @pytest.fixture
    def tasks(self, make_runs: MakeRuns, tmp_path: Path) -> Tasks:
        return Tasks(make_runs(3), make_runs(2, width=9), directory=tmp_path)

    @pytest.fixture
    def monitor(self, tasks: Tasks, caplog: pytest.LogCaptureFixture) -> Any:
        caplog.set_level(logging.INFO)
        return Monitor(tasks.submissions, tasks, stall_minutes=1e-9)

    def test_a_death_is_named_with_its_log(
        self, tasks: Tasks, monitor: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = tasks.shards
        run_sweep(first.runs[:1], first.directory, first.label)
        WorkerStatus("failed", error="ValueError: x").write(first.path)
        tasks.known["7_0"] = TaskState("died", alive=False)
        del tasks.known["7_1"]
        monitor.look()
        assert "Task 7_0 died (ValueError: x): 2 of its 3 runs (#5 to #7) are missing;" in (
            caplog.text
        )
        assert monitor.reasons[second.path] == "task 7_1 is gone; log: /logs/1"
        assert "Tasks: 2 lost" in caplog.text
        monitor.run()  # returns: nothing is open

    def test_what_a_task_wrote_last_may_show_late(self, tasks: Tasks, monitor: Any) -> None:
        tasks.grace = 60.0
        tasks.known.clear()
        monitor.look()
        for shard in tasks.shards:
            WorkerStatus("finished", done=len(shard.runs)).write(shard.path)
        monitor.run()
        assert not monitor.reasons

    def test_no_answer_is_no_death(
        self, tasks: Tasks, monitor: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        tasks.silent = True
        for _ in range(3):
            monitor.look()
        assert not monitor.reasons
        assert caplog.text.count("no answer in a minute; the tasks go on; asking again") == 1

    def test_a_task_that_gets_no_further_is_named_once(
        self, tasks: Tasks, monitor: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        tasks.known["7_1"] = TaskState("pending (Priority)", alive=True)
        for _ in range(3):
            monitor.look()
        assert caplog.text.count("Task 7_0 has got no further for 0 minutes; log: /logs/0") == 1
        assert "Task 7_1" not in caplog.text
        WorkerStatus("running").write(tasks.shards[0].path)
        for _ in range(2):
            monitor.look()
        assert caplog.text.count("no further") == 2

    def test_errors_of_runs_are_passed_on_once(
        self, tasks: Tasks, monitor: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        for errors in (["a"], ["a", "b"]):
            WorkerStatus("running", errors=errors).write(tasks.shards[0].path)
            monitor.look()
        assert [line for line in caplog.messages if line.startswith("Task 7_0")] == [
            "Task 7_0: a",
            "Task 7_0: b",
        ]


class TestStatus:
    @pytest.fixture
    def tasks(self, make_runs: MakeRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tasks:
        tasks = Tasks(make_runs(3), make_runs(2, width=9), directory=tmp_path)
        write_submissions(tasks.folder, tasks.submissions)
        monkeypatch.setattr(status, "states", tasks.states)
        return tasks

    def test_every_run_is_counted_once(self, tasks: Tasks, tmp_path: Path) -> None:
        first, second = tasks.shards
        run_sweep(first.runs[:1], tmp_path, first.label)
        WorkerStatus(done=1.5).write(first.path)
        tasks.known["7_1"] = TaskState("pending (Priority)", alive=True)
        head, _, *lines = status.report(tmp_path).splitlines()
        assert head == f"{tmp_path}: 1 completed, 2 running, 2 pending"
        assert len(lines) == 2
        assert re.search(r" 7_0 +running +1\.5 of 3 runs, heard of \d s ago  /.*logs/0$", lines[0])
        assert re.search(r" 7_1 +pending \(Priority\) +0\.0 of 2 runs  /.*logs/1$", lines[1])
        # The other task's runs in a second launch, which has died since.
        again = Tasks(list(second.runs), directory=tmp_path)
        write_submissions(again.folder, again.submissions)
        del tasks.known["7_0"]
        assert status.report(tmp_path).startswith(f"{tmp_path}: 1 completed, 2 pending, 2 missing")
        # Finished by whoever it was: tasks that failed are of no interest.
        run_sweep([*first.runs, *second.runs], tmp_path)
        assert status.report(tmp_path) == f"{tmp_path}: 5 completed"

    def test_without_slurm_it_is_what_tasks_said_last(self, tasks: Tasks, tmp_path: Path) -> None:
        tasks.silent = True
        WorkerStatus().write(tasks.shards[0].path)
        head, note, *_ = status.report(tmp_path).splitlines()
        assert head == f"{tmp_path}: 3 running, 2 pending"
        assert note.startswith("Slurm could not be asked (squeue: no answer in a minute)")


class FakeSlurm(InProcessExecutor):
    """Trains what is submitted before it says so, if it takes it."""

    takes = 100  # shards
    trains = True
    alive: bool = False
    log: list[Any]  # what it was asked for

    def __init__(self, conf: SlurmConf) -> None:
        super().__init__()

    def check(self) -> None:
        self.log.append("check")

    def settle(self) -> list[Submission]:
        return []

    def submit(self, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
        for number, shard in enumerate(shards):
            if number == self.takes:
                raise SlurmError("QOSMaxSubmitJobPerUserLimit")
            self.log.append(len(shard.runs))
            for _ in super().submit([shard] if self.trains else []):
                pass
            yield [Submission(shard.path, f"7_{number}", Path("log"), len(shard.runs), "slurm")]

    def states(self, jobs: Iterable[str]) -> dict[str, TaskState]:
        return dict.fromkeys(jobs, RUNNING) if self.alive else {}


class TestRunOnSlurm:
    @pytest.fixture(autouse=True)
    def slurm(self, monkeypatch: pytest.MonkeyPatch) -> type[FakeSlurm]:
        asked: list[Any] = []
        kind = type("Slurm", (FakeSlurm,), {"log": asked, "grace": 0.0})
        monkeypatch.setattr(slurm_launch, "SlurmExecutor", kind)
        monkeypatch.setattr(slurm_launch, "ask", lambda *command: asked.append(command))
        return kind

    def test_what_is_missing_is_submitted(
        self, make_runs: MakeRuns, tmp_path: Path, slurm: type[FakeSlurm]
    ) -> None:
        run_sweep(make_runs(2), tmp_path)
        assert None not in run_on_slurm(make_runs(6), tmp_path, {"tasks": 2})
        assert slurm.log == ["check", 2, 2]
        assert None not in run_on_slurm(make_runs(6), tmp_path, {"tasks": 2})
        assert slurm.log == ["check", 2, 2]

    def test_the_part_that_fits(
        self, make_runs: MakeRuns, tmp_path: Path, slurm: type[FakeSlurm]
    ) -> None:
        slurm.takes = 1
        results = run_on_slurm(make_runs(6), tmp_path, {"runs_per_task": 3})
        lost = [str(result) for result in results if isinstance(result, RunFailed)]
        assert lost == ["its task was not submitted: QOSMaxSubmitJobPerUserLimit"] * 3
        slurm.takes = 0
        with pytest.raises(ConfigError, match="nothing was submitted: QOSMax"):
            run_on_slurm(make_runs(6), tmp_path, {})

    def test_detached_tasks_are_joined(
        self, make_runs: MakeRuns, tmp_path: Path, slurm: type[FakeSlurm]
    ) -> None:
        slurm.trains = False
        settings = {"tasks": 2, "detach": True}
        assert run_on_slurm(make_runs(4), tmp_path, settings) == [None] * 4
        slurm.alive = True
        assert run_on_slurm(make_runs(5), tmp_path, settings) == [None] * 5
        assert slurm.log == ["check", 2, 2, "check", 1]  # only the fifth is new
        slurm.alive = False  # all have died since, and are not waited for
        slurm.trains = True
        assert None not in run_on_slurm(make_runs(5), tmp_path, {"tasks": 1})
        assert slurm.log[-1] == 5

    def test_what_ends_while_slurm_is_asked_is_not_trained_twice(
        self, make_runs: MakeRuns, tmp_path: Path, slurm: type[FakeSlurm]
    ) -> None:
        slurm.trains = False
        run_on_slurm(make_runs(4), tmp_path, {"tasks": 2, "detach": True})

        def states(self: Any, jobs: Iterable[str]) -> dict[str, TaskState]:
            shards = [Shard.read(task.shard) for task in read_submissions(tmp_path)]
            list(InProcessExecutor.submit(self, shards))
            return {}

        slurm.states = states  # type: ignore[method-assign]
        assert None not in run_on_slurm(make_runs(4), tmp_path, {})
        assert slurm.log == ["check", 2, 2]
        assert len(list(read(tmp_path))) == 4

    @pytest.mark.parametrize("on_interrupt", ["cancel", "detach"])
    def test_interrupted_while_submitting(
        self, make_runs: MakeRuns, tmp_path: Path, slurm: type[FakeSlurm], on_interrupt: str
    ) -> None:
        slurm.trains = False

        def submit(self: Any, shards: Sequence[Shard]) -> Iterator[list[Submission]]:
            yield next(FakeSlurm.submit(self, shards))
            raise KeyboardInterrupt

        slurm.submit = submit  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            run_on_slurm(make_runs(4), tmp_path, {"tasks": 2, "on_interrupt": on_interrupt})
        assert slurm.log[2:] == ([("scancel", "7")] if on_interrupt == "cancel" else [])


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
        [sys.executable, "-m", "dynsweep", "-m", *arguments],
        cwd=place, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def first_pid(place: Path) -> tuple[Path, int]:
    """The status file of the first worker, once it runs, and its process."""
    deadline = time.monotonic() + 60
    while not (found := list(place.glob("out/tasks/*/0000.status.json"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found[0], json.loads(found[0].read_text())["pid"]


@pytest.mark.slow
class TestWorkersOfTheDefaultLauncher:
    def test_same_rows(self, tmp_path: Path, dynsweep: Dynsweep, alone: pd.DataFrame) -> None:
        command = [*GRID, "steps=3000", "hydra.launcher.workers=2", "hydra.sweep.dir=out"]
        done = dynsweep("-m", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "12 runs on 2 workers" in done.stdout
        pd.testing.assert_frame_equal(rows(tmp_path / "out"), alone, check_exact=True)
        # Runs that went through a shard's file are the runs that were composed.
        files = (tmp_path / "out").glob("tasks/*/[0-9]*[0-9].json")
        found = {run.settings.identity() for file in files for run in Shard.read(file).runs}
        assert found == {entry["id"] for entry in read(tmp_path / "out")}
        assert len(found) == 12
        assert len(list((tmp_path / "out" / "runs").glob("*.jsonl"))) == 2

    def test_a_killed_worker_costs_its_own_runs_only(
        self, tmp_path: Path, dynsweep: Dynsweep, alone: pd.DataFrame
    ) -> None:
        command = [*GRID, "hydra.launcher.workers=2", "hydra.sweep.dir=out"]
        process = start(tmp_path, *command, "steps=2000000", "engine.threads=1")
        found, pid = first_pid(tmp_path)
        os.kill(pid, signal.SIGKILL)
        # The other one is not waited for: it is ended with the command, and both go on later.
        time.sleep(3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 130, text
        assert "Traceback" not in found.with_name("0001.log").read_text()
        done = dynsweep("-m", *command, "steps=3000")
        assert done.returncode == 0, done.stdout + done.stderr
        pd.testing.assert_frame_equal(rows(tmp_path / "out"), alone, check_exact=True)

    def test_a_worker_that_dies_is_named(self, tmp_path: Path) -> None:
        command = [*GRID, "hydra.launcher.workers=2", "steps=60000", "hydra.sweep.dir=out"]
        process = start(tmp_path, *command)
        _, pid = first_pid(tmp_path)
        os.kill(pid, signal.SIGKILL)
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 1, text
        assert "6 of 12 jobs failed" in text
        assert "was killed by SIGKILL; log:" in text
        assert len(list(read(tmp_path / "out"))) == 6


def test_the_launcher_that_workers_replaced_says_so(dynsweep: Dynsweep) -> None:
    done = dynsweep("-m", "hydra/launcher=fused_local", "seed=0,1", "steps=5")
    assert done.returncode == 2
    assert done.stderr == (
        "dynsweep: error: hydra/launcher=fused_local: no longer there; "
        "take hydra.launcher.workers=N of the default launcher\n"
    )


@pytest.mark.slow
def test_status_of_a_plain_sweep(tmp_path: Path, dynsweep: Dynsweep) -> None:
    assert dynsweep("-m", *GRID, "steps=5", "hydra.sweep.dir=out").returncode == 0
    command = [sys.executable, "-m", "dynsweep.cli.aggregate_command", "out", "--status"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "out: 12 completed; 12 runs in the grid\n"
    command[3] = "nothing"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nothing: no such directory" in done.stderr
