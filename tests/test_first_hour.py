"""What a new user types, and what a person expects of it."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT

from dynsweep.page.page import _commands
from dynsweep.store import read

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("loss=static loss.amplitude=10", "loss.amplitude=10.0: must be 1 for loss=static"),
        ("-m loss=static loss.amplitude=1,10", "loss.amplitude=10.0: must be 1 for loss=static"),
        ("-m +sweep=period_amplitude,width_lr", "+sweep=period_amplitude,width_lr: one preset"),
        ("+sweep=period_amplitude epochs=3 steps=5", "steps=5: excludes epochs=3"),
    ],
)
def test_what_cannot_be_meant_is_refused(command: str, line: str, dynsweep: Dynsweep) -> None:
    refused = dynsweep(*command.split())
    assert refused.returncode == 2
    (error,) = refused.stderr.splitlines()
    assert error.startswith(f"dynsweep: error: {line}")


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
