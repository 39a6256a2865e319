"""The command as users run it: in a process of its own, killed and interrupted for real."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT

from dynsweep.analysis.frame import load_frame
from dynsweep.store import read

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]

SMALL = ["steps=40", "model.width=8", "engine=reference"]
RESULTS = ["status", "train_accuracy", "validation_accuracy", "train_loss", "validation_loss"]


def by_id(*directories: Path) -> pd.DataFrame:
    return load_frame(directories).set_index("id").sort_index()[RESULTS]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.width=0"], "model.width=0: must be a finite number, at least 1"),
        (["model.width=abc"], "model.width=abc: must be a whole number"),
        (
            ["model.widht=3"],
            "model.widht=3: no such setting; did you mean width? allowed in model",
        ),
        (["typo=3"], "typo=3: no such setting; allowed: "),
        (["loss.amplitude=0.5"], "loss.amplitude=0.5: must be a finite number, at least 1"),
        (["loss.period=0"], "loss.period=0: must be a finite number, at least 1"),
        (["loss.period=2.5"], "loss.period=2.5: must be a whole number"),
        (["optimizer.lr=0"], "optimizer.lr=0.0: must be a finite number above 0"),
        (["optimizer.lr=inf"], "optimizer.lr=inf: must be a finite number above 0"),
        (["dataset=mnist"], "dataset=mnist: must be one of cifar10, own, spirals, table"),
        (["model.init=zeros"], "model.init=zeros: must be one of standard, glorot"),
        (["+model.depth=3"], "model.depth=3: no such setting"),
        (["~model"], "model.name=???: must be one of mlp"),
        (["save_weights=perhaps"], "save_weights=perhaps: must be true or false"),
        (["loss.period=10,20"], "loss.period=10,20: several values; add -m"),
        (["loss.period=10,20", "--cfg", "job"], "loss.period=10,20: several values; add -m"),
        (["-m", "seed=0,1", "--cfg", "job"], "Only one of --run, --multirun, --cfg"),
        (["-m", "loss.period=range(5,5)"], "no points"),
        (["-m", "loss.period=choice()"], "no points"),
        (["-m", "seed=0,1", "loss.period=10,0"], "loss.period=0: must be a finite number"),
        (["-m", "seed=0,1", "loss.period=10,x"], "loss.period=x: must be a whole number"),
        (["-m", "seed=0,1", "model.widht=3"], "model.widht=3: no such setting"),
        (
            ["-m", "seed=0,1", "dataset=spirals,mnist"],
            "dataset=mnist: must be one of cifar10, own, spirals, table",
        ),
        (["+sweep=period_amplitude", "loss.period=5,0"], "loss.period=0: must be a finite"),
        (["+sweep=period_amplitude", "loss.period=5,6", "typo=3"], "typo=3: no such setting"),
        (["+sweep=nothing"], "sweep=nothing: must be one of"),
        (["-m", "hydra/launcher=basic", "loss.period=10,0"], "loss.period=0: must be"),
        (["device=cuda"], "device=cuda: PyTorch sees no CUDA GPU here; use device=cpu"),
    ],
)
def test_bad_input(dynsweep: Dynsweep, tmp_path: Path, arguments: list[str], message: str) -> None:
    """One line with the setting, the value and what is allowed; nothing is trained."""
    import torch

    if "device=cuda" in arguments and torch.cuda.is_available():
        pytest.skip("a GPU is at hand")
    done = dynsweep(*arguments)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("dynsweep: error: ")
    assert message in lines[0]
    assert not list(tmp_path.rglob("*.jsonl"))


def test_help_names_every_choice(dynsweep: Dynsweep) -> None:
    done = dynsweep("--help")
    assert done.returncode == 0
    conf = Path(__file__).parent.parent / "conf"
    for path in conf.glob("*/*.yaml"):
        assert path.stem in done.stdout, path
    assert "loss.amplitude=20.0 " in done.stdout


def test_config_is_shown(dynsweep: Dynsweep) -> None:
    done = dynsweep("--cfg", "job", "model.width=321")
    assert done.returncode == 0
    assert "width: 321" in done.stdout


def test_completion(dynsweep: Dynsweep, tmp_path: Path) -> None:
    """What bash asks for at a TAB; without PyTorch, so that it is quick."""
    line = "dynsweep loss="
    environment = {**ENVIRONMENT, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    done = subprocess.run(
        [*COMMAND, "-sc", "query=bash"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert set(done.stdout.split()) == {"loss=dynamical", "loss=mse", "loss=static"}
    imports = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import dynsweep.cli.main"],
        capture_output=True, text=True, timeout=60,
    ).stderr  # fmt: skip
    assert "hydra" in imports
    for heavy in ("torch", "numba", "pandas", "matplotlib"):
        assert f" {heavy}\n" not in imports


def test_one_run(dynsweep: Dynsweep, tmp_path: Path) -> None:
    done = dynsweep(*SMALL, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "run" / "results.csv")
    assert table.loc[0, ["model", "width", "status"]].tolist() == ["mlp", 8, "completed"]
    assert (tmp_path / "run" / ".hydra" / "config.yaml").exists()


@pytest.mark.slow
def test_any_grid_without_a_preset(dynsweep: Dynsweep, tmp_path: Path) -> None:
    done = dynsweep(
        "-m", "model.width=8,9", "loss.amplitude=1,10", "seed=range(0,2)", "steps=20",
        "hydra.sweep.dir=grid",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "grid" / "results.csv")
    assert len(table) == 8
    assert set(zip(table["width"], table["amplitude"], table["seed"], strict=True)) == {
        (w, a, s) for w in (8, 9) for a in (1, 10) for s in (0, 1)
    }
    assert (tmp_path / "grid" / "multirun.yaml").exists()


def test_preset_with_an_axis_replaced_writes_figures(dynsweep: Dynsweep, tmp_path: Path) -> None:
    done = dynsweep(
        "+sweep=period_amplitude", *SMALL, "loss.period=5,10", "loss.amplitude=1,10",
        "seed=range(0,2)", "hydra.sweep.dir=out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 8
    for name in ("phase_diagram_train_accuracy", "phase_diagram_validation_accuracy"):
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 10_000
        assert (tmp_path / "out" / f"{name}.pdf").exists()
    assert "static" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_other_launchers_give_the_same_results(
    dynsweep: Dynsweep, tmp_path: Path, launcher: str
) -> None:
    grid = ["-m", *SMALL, "loss.period=5,10", "seed=range(0,2)"]
    for name in ("fused", launcher):
        done = dynsweep(*grid, f"hydra/launcher={name}", f"hydra.sweep.dir={name}")
        assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(by_id(tmp_path / "fused"), by_id(tmp_path / launcher))
    assert len(pd.read_csv(tmp_path / launcher / "results.csv")) == 4
    assert (tmp_path / launcher / "0" / ".hydra" / "overrides.yaml").exists()


LONG = ["-m", "steps=1500", "model.width=16", "engine=reference", "engine.batch_size=2",
        "engine.threads=1", "loss.period=10,20,30,40", "seed=range(0,3)",
        "hydra.sweep.dir=out"]  # fmt: skip


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=tmp_path, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A shell's background jobs, such as this test run may be, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def wait_for_records(directory: Path, count: int, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 120
    while sum(1 for _ in read(directory)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    place = tmp_path_factory.mktemp("undisturbed")
    process = start(place, *LONG)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return by_id(place / "out")


def test_killed_sweep_resumes(
    dynsweep: Dynsweep, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    """SIGKILL in the middle, several times; then the same command finishes the sweep."""
    for count in (2, 6):
        process = start(tmp_path, *LONG)
        wait_for_records(tmp_path / "out", count, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert 0 < len(by_id(tmp_path / "out")) < 12
    survived = by_id(tmp_path / "out")
    pd.testing.assert_frame_equal(survived, undisturbed.loc[survived.index])
    done = dynsweep(*LONG)
    assert done.returncode == 0, done.stderr
    assert f"{len(survived)} of 12 runs are in out already" in done.stdout + done.stderr
    pd.testing.assert_frame_equal(by_id(tmp_path / "out"), undisturbed)
    assert len(list(read(tmp_path / "out"))) == 12  # nothing was trained twice
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 12


def test_interrupt_leaves_a_usable_directory_and_says_how_to_go_on(
    tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    process = start(tmp_path, *LONG)
    wait_for_records(tmp_path / "out", 4, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert 4 <= len(pd.read_csv(tmp_path / "out" / "results.csv")) < 12
    command = shlex.split(errors.strip().splitlines()[-1])
    assert command[0] == "dynsweep"
    process = start(tmp_path, *command[1:])
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    pd.testing.assert_frame_equal(by_id(tmp_path / "out"), undisturbed)


@pytest.mark.slow
def test_two_processes_on_one_directory(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    both = [start(tmp_path, *LONG) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    pd.testing.assert_frame_equal(by_id(tmp_path / "out"), undisturbed)


@pytest.mark.slow
def test_a_larger_grid_adds_to_the_directory(dynsweep: Dynsweep, tmp_path: Path) -> None:
    grid = ["-m", *SMALL, "hydra.sweep.dir=out", "seed=0,1"]
    assert dynsweep(*grid, "loss.period=5,10").returncode == 0
    before = by_id(tmp_path / "out")
    assert dynsweep(*grid, "loss.period=5,7,10").returncode == 0
    after = by_id(tmp_path / "out")
    assert len(after) == 6
    pd.testing.assert_frame_equal(before, after.loc[before.index])
    assert len(list(read(tmp_path / "out"))) == 6


def test_failed_runs_are_listed_and_the_exit_status_says_so(
    dynsweep: Dynsweep, tmp_path: Path
) -> None:
    """A width that no machine can hold fails; its neighbours do not."""
    done = dynsweep(
        "-m", "steps=20", "engine=reference", "model.width=8,1000000000000", "hydra.sweep.dir=out"
    )
    assert done.returncode == 1
    frame = load_frame([tmp_path / "out"]).set_index("width")
    assert frame["status"].to_dict() == {8: "completed", 10**12: "failed"}
    assert "1 of 2" in done.stderr
    assert "Traceback" not in done.stderr
    assert pd.read_csv(tmp_path / "out" / "results.csv")["status"].tolist().count("failed") == 1
