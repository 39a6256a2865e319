"""What a new user types, and what a person expects of it.

More of it: words, files of others and status in ``test_cli_first_hour.py``, figures in
``test_figures_first_hour.py``, tables in ``test_tables_whole.py``, the page in
``test_page_compare.py``, trackers and Optuna in ``test_trackers_first_hour.py`` and
``test_optuna.py``.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT

from dynsweep.page.page import _commands
from dynsweep.store import METRICS, latest, read
from dynsweep.store.arrays import load_trajectory

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("loss=static loss.amplitude=10", "loss.amplitude=10.0: must be 1 for loss=static"),
        ("-m loss=static loss.amplitude=1,10", "loss.amplitude=10.0: must be 1 for loss=static"),
        ("-m +sweep=period_amplitude,width_lr", "+sweep=period_amplitude,width_lr: one preset"),
        ("+sweep=period_amplitude epochs=3 steps=5", "steps=5: excludes epochs=3"),
        ("model=myrtle5", "model=myrtle5: takes images, not samples of 2 numbers"),
        ("-m model=myrtle5 seed=0,1", "model=myrtle5: takes images, not samples of 2 numbers"),
        ("model.width=1000000000", "model.width=1000000000: 6e+09 weights; needs about 144 GB of"),
        ("dataset.samples_per_class=100000000000", "dataset=spirals: needs about 2.4e+04 GB of"),
        (
            "-m loss.period=range(1,100001) seed=range(0,100000)",
            "a grid of 10,000,000,000 runs: ",
        ),
        ("-m seed=range(0,1000000000)", "a grid of 10,000,000 runs or more: at most "),
    ],
)
def test_what_cannot_be_meant_is_refused(command: str, line: str, dynsweep: Dynsweep) -> None:
    refused = dynsweep(*command.split())
    assert refused.returncode == 2
    (error,) = refused.stderr.splitlines()
    assert error.startswith(f"dynsweep: error: {line}")


@pytest.mark.slow
def test_the_static_run_of_a_grid_over_both_losses_is_one(
    tmp_path: Path, dynsweep: Dynsweep
) -> None:
    grid = ["-m", "loss=static,dynamical", "loss.amplitude=1,10,20", "loss.period=2", "steps=3"]
    done = dynsweep(*grid, "report=false", "hydra.sweep.dir=d")
    assert done.returncode == 0, done.stderr
    assert "3 of 6 jobs are the same run as another" in done.stdout
    assert "already" not in done.stdout
    table = pd.read_csv(tmp_path / "d" / "results.csv")
    assert sorted(table["amplitude"]) == [1, 10, 20]
    # What the page lets people copy trains nothing: they have it all.
    (command,) = _commands([tmp_path / "d"])
    before = len(list(read(tmp_path / "d")))
    again = subprocess.run(
        [*COMMAND, *shlex.split(command)[1:]], cwd=tmp_path, env=ENVIRONMENT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "3 of 3 runs are in" in again.stdout
    assert len(list(read(tmp_path / "d"))) == before


def test_a_period_as_long_as_the_training_is_told_of(tmp_path: Path, dynsweep: Dynsweep) -> None:
    done = dynsweep("loss.period=5", "steps=5", "hydra.run.dir=d")
    assert done.returncode == 0
    assert done.stdout.count("1 of 1 runs have a period of at least their steps") == 1


@pytest.mark.slow
def test_steps_that_are_typed_win_over_the_epochs_of_a_preset(
    tmp_path: Path, dynsweep: Dynsweep
) -> None:
    conf = tmp_path / "conf" / "sweep"
    conf.mkdir(parents=True)
    text = "# @package _global_\nepochs: 7\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params: {seed: '0,1'}\n"  # noqa: E501
    (conf / "mine.yaml").write_text(text)
    words = ["--config-dir", "conf", "+sweep=mine", "steps=3", "hydra.sweep.dir=d", "report=false"]
    done = dynsweep(*words)
    assert done.returncode == 0, done.stderr
    assert {(e["config"]["steps"], e["config"]["epochs"]) for e in read(tmp_path / "d")} == {
        (3, None)
    }


@pytest.mark.slow
def test_combinations_that_cannot_train_fail_alone(tmp_path: Path, dynsweep: Dynsweep) -> None:
    grid = ["-m", "model.width=8,1000000000", "optimizer.batch_size=null,400", "steps=3"]
    words = [*grid, "loss.period=2", "report=false", "hydra.sweep.dir=d"]
    done = dynsweep(*words)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stdout.count("2 of 4 runs cannot be trained (optimizer.batch_size=400: ") == 1
    assert "1 of 4 runs cannot be trained (model.width=1000000000: 6e+09 weights; " in done.stdout
    assert "3 of 4 jobs failed; the first (" in done.stderr
    table = pd.read_csv(tmp_path / "d" / "results.csv")
    assert sorted(table["status"]) == ["completed", "failed", "failed", "failed"]
    assert table.loc[table["status"] == "completed", "width"].tolist() == [8]
    assert table["error"].str.contains("GB are free").sum() == 1
    # Again: they fail again, and are not recorded anew.
    again = dynsweep(*words)
    assert again.returncode == 1
    assert "1 of 1 runs are in d already" in again.stdout
    assert len(list(read(tmp_path / "d"))) == 4


@pytest.mark.slow
def test_what_is_observed_later_is_trained_for(tmp_path: Path, dynsweep: Dynsweep) -> None:
    words = ["-m", "loss.amplitude=1,20", "loss.period=20", "steps=90", "report=false"]
    words += ["hydra.sweep.dir=d"]
    said = [
        dynsweep(*words, *more).stdout
        for more in ([], ["observe=metrics"], ["observe=metrics"], ["observe.loss_every=30"], [])
    ]
    lacks = "2 runs are trained again, as their records lack "
    assert f"{lacks}loss and accuracy" in said[1]
    assert "2 of 2 runs are in d already" in said[2]
    assert f"{lacks}F(t)" in said[3]
    assert "2 of 2 runs are in d already" in said[4]
    assert not any("came out otherwise" in text for text in said)
    entries = list(read(tmp_path / "d"))
    assert len(entries) == 6
    assert len({(e["identity"], *(e[name] for name in METRICS)) for e in entries}) == 2
    # Nothing is lost that was recorded before.
    for entry in latest(tmp_path / "d").values():
        table = load_trajectory(tmp_path / "d" / "trajectories" / entry["trajectory"])
        table = table[table["id"] == entry["id"]]
        assert table["train_accuracy"].notna().sum() == 91
        assert {0, 30, 60, 90} <= set(table.loc[table["loss"].notna(), "step"])
        assert (tmp_path / "d" / "weights" / entry["weights"]).exists()


@pytest.mark.slow
def test_a_plan_trains_nothing(tmp_path: Path, dynsweep: Dynsweep) -> None:
    grid = ["-m", "dataset.classes=3,101", "loss.amplitude=1,20", "loss.period=2,3", "steps=9"]
    words = [*grid, "hydra.sweep.dir=d"]
    plan = dynsweep(*words, "dry_run=true")
    assert plan.returncode == 0, plan.stderr
    lines = [line.strip() for line in plan.stdout.splitlines()]
    assert "8 jobs, 8 runs, for d:" in lines
    assert "8 to train; 6 of them differ in what has an effect (A = 1 is static)" in lines
    start = "3 runs in 1 batch: mlp, width 100, 9 steps, SGD on the whole training set; "
    faster, slower = (line for line in lines if line.startswith(start))
    assert "compiled engine on cpu (the fastest)" in faster
    assert "(the compiled one takes (inputs + 1) * classes up to 300, not 2 inputs" in slower
    assert any(re.fullmatch("Training takes (less|about) .* here.", line) for line in lines)
    assert not (tmp_path / "d").exists()
    one = dynsweep("steps=9", "dry_run=true", "hydra.run.dir=r")
    assert one.returncode == 0, one.stderr
    assert "1 job, 1 run, for " in one.stdout
    assert not (tmp_path / "r").exists()
    tasks = ["hydra/launcher=fused_slurm", "hydra.launcher.tasks=3"]
    slurm = dynsweep(*words, "dry_run=true", *tasks)
    assert "in 3 tasks of Slurm; engines, batches and time are those of their" in slurm.stdout


@pytest.mark.slow
def test_a_million_jobs(tmp_path: Path) -> None:
    """Each stage is told of, and in 1.5 GB comes the first batch."""
    axes = ["loss.period=range(1,1001)", "loss.amplitude=range(1,1001)", "steps=5000"]
    process = subprocess.Popen(
        [*COMMAND, "-m", *axes, "hydra.sweep.dir=d"], cwd=tmp_path, env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "Training 999" in line:
            break
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.kill()
    process.wait()
    peak = int(status.partition("VmHWM:")[2].split()[0])
    assert "Checking 1,000,000 jobs" in lines[0]
    assert "Training 999" in lines[-1], lines
    for stage in ("Composing", "Checking", "Looking up", "Grouping"):
        assert any(f"{stage} 1,000,000 runs" in line for line in lines), stage
    assert peak < 1.5e6
