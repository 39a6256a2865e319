"""``dynsweep-trajectory``, on real runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT

from dynsweep.cli.trajectory_command import main

GRID = ["-m", "model.width=8", "steps=60", "loss.period=30", "observe=curvature",
        "observe.records=5", "observe.loss_every=1", "observe.class_accuracy_every=0",
        "observe.sharpness.every=5", "observe.ntk.every=30", "observe.snapshots_every=20",
        "dataset.samples_per_class=10", "hydra.sweep.dir=out"]  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sweep")
    subprocess.run([*COMMAND, *GRID, "optimizer.lr=1,2"], cwd=place, env=ENVIRONMENT, check=True)
    return place / "out"


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if path.is_file()}


def test_draws_what_was_recorded(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(sweep)])
    drawn = names(sweep)
    for figure in ("trajectory", "bifurcation", "decision_strip"):
        assert f"{figure}_lr2.png" in drawn
        assert f"{figure}_lr2.pdf" in drawn
    assert (sweep / "decisions_lr1.gif").read_bytes()[:4] == b"GIF8"
    table = pd.read_csv(sweep / "threshold.csv")
    assert sorted(table["lr"]) == [1, 2]
    text = capsys.readouterr().out
    assert "of 2 runs start to bounce" in text
    assert "trajectory_lr1.png" in text


def test_choice_of_runs_and_errors(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            str(sweep),
            "--run",
            "lr=2",
            "--from",
            "10",
            "--to",
            "40",
            "--output",
            str(sweep / "one"),
        ]
    )
    assert {n for n in names(sweep / "one") if n.startswith("trajectory")} == {
        "trajectory_lr2.png", "trajectory_lr2.pdf"
    }  # fmt: skip
    capsys.readouterr()
    for arguments, words in (
        (["--run", "lr=3"], "no run has lr=3"),
        (["--from", "10"], "give both"),
        (["--from", "20", "--to", "10"], "in this order"),
    ):
        with pytest.raises(SystemExit) as caught:
            main([str(sweep), *arguments])
        assert caught.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_a_directory_without_trajectories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "record some with observe=curvature" in capsys.readouterr().err
