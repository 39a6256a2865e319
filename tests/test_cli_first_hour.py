"""More of what a new user types: names and numbers as people write them, help, the way back."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sweeps
from conftest import COMMAND, ENVIRONMENT
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.types import RunMode
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from dynsweep import page
from dynsweep.cli import aggregate_command, status_command
from dynsweep.cli.completion import internal, values
from dynsweep.cli.hydra_errors import one_line
from dynsweep.config import register_schemas
from dynsweep.config.words import understood, unknown
from dynsweep.errors import ConfigError
from dynsweep.figures import style
from dynsweep.launchers import register
from dynsweep.launchers.grid import jobs, recorded_grid
from dynsweep.launchers.multirun import write_multirun
from dynsweep.store import read
from dynsweep.store.foreign import ForeignFile, refuse_foreign
from dynsweep.store.owners import owner
from dynsweep.sweep import claims as claiming
from dynsweep.sweep.claims import Claims
from dynsweep.sweep.leftovers import remove_leftovers
from dynsweep.sweep.task import Task

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("steps=1e5", "steps=100000"),
        ("loss.period=35e3", "loss.period=35000"),
        ("loss.period=1e2,1.5e3, 7", "loss.period=100,1500, 7"),
        ("loss.period=range(1e3,4E3,1e+3)", "loss.period=range(1000,4000,1000)"),
        ("seed=choice(1e1,2)", "seed=choice(10,2)"),
        ("engine.batch_size=[1e2]", "engine.batch_size=[100]"),
        ("hydra.launcher.workers=2e0", "hydra.launcher.workers=2"),
        # Refused by Hydra, each in one line.
        ("steps=1.5e0", "steps=1.5e0"),
        ("steps=1e-3", "steps=1e-3"),
        ("steps=1e400", "steps=1e400"),
        # No whole number, or no number.
        ("optimizer.lr=1e0", "optimizer.lr=1e0"),
        ("dataset.root=a1e5", "dataset.root=a1e5"),
        ("-m", "-m"),
    ],
)
def test_whole_numbers_with_powers_of_ten(typed: str, meant: str) -> None:
    assert understood([typed]) == [meant]


def test_powers_of_ten_in_the_axes_of_a_preset() -> None:
    params = {"loss.period": [1e1, 20], "optimizer.lr": [1.0], "seed": "choice(1e0,2)"}
    assert jobs(params, ["steps=7"], None) == [  # type: ignore[arg-type]
        [f"loss.period={period}", "optimizer.lr=1.0", f"seed={seed}", "steps=7"]
        for period in (10, 20)
        for seed in (1, 2)
    ]


@pytest.mark.slow
def test_a_sweep_over_whole_numbers_with_powers_of_ten(tmp_path: Path, dynsweep: Dynsweep) -> None:
    conf = tmp_path / "conf" / "sweep"
    conf.mkdir(parents=True)
    sweeper = "{params: {loss.period: [1e1, 20], model.width: 'choice(1e0)'}}"
    text = f"# @package _global_\nhydra: {{mode: MULTIRUN, sweeper: {sweeper}}}\n"
    (conf / "mine.yaml").write_text(text)
    words = ["--config-dir", "conf", "+sweep=mine", "steps=1e1", "report=false"]
    done = dynsweep(*words, "save_weights=false", "hydra.sweep.dir=d")
    assert done.returncode == 0, done.stderr
    names = ("loss.period", "model.width", "steps")
    found = {tuple(entry["config"][name] for name in names) for entry in read(tmp_path / "d")}
    assert found == {(10, 1, 10), (20, 1, 10)}


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("lr", "optimizer.lr"),
        ("A", "loss.amplitude"),
        ("T", "loss.period"),
        ("learning_rate", "optimizer.lr"),
        ("perid", "loss.period"),
        ("model.lr", "optimizer.lr"),
        ("batch_size", "optimizer.batch_size or engine.batch_size"),
    ],
)
def test_a_short_name_is_answered_with_the_full_one(name: str, full: str) -> None:
    assert unknown(name, ["steps", "seed"]) == f"no such setting; did you mean {full}?"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("lr=0.1", "lr=0.1: no such setting; did you mean optimizer.lr?"),
        ("-m +period=20,30", "period=20: no such setting; did you mean loss.period?"),
        ("-m model=", "model=: must be one of mlp, myrtle5, own, wide_resnet"),
        (
            "hydra.sweep.dir=",
            "hydra.sweep.dir=: must name a directory; . is the working directory",
        ),
    ],
)
def test_one_line_names_the_setting(command: str, line: str, dynsweep: Dynsweep) -> None:
    refused = dynsweep(*command.split())
    assert refused.returncode == 2
    assert refused.stderr == f"dynsweep: error: {line}\n"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("loss.period=10,", "a value is missing after the comma"),
        ("loss.period=choice(10", "a bracket is not closed"),
        ("steps", "not understood; type name=value"),
    ],
)
def test_what_hydra_cannot_parse_is_named(word: str, reason: str) -> None:
    with pytest.raises(HydraException) as raised:
        OverridesParser.create().parse_overrides([word])
    assert one_line(raised.value, [word]) == f"{word}: {reason}"


def test_an_empty_directory_is_refused() -> None:
    for word in ("hydra.run.dir=", "hydra.sweep.dir=''"):
        with pytest.raises(ConfigError, match="must name a directory"):
            understood([word])


def test_versions(dynsweep: Dynsweep) -> None:
    from dynsweep import __version__

    done = dynsweep("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"dynsweep {__version__} (Hydra 1.3")


def test_completion_offers_choices_and_no_internal_names(tmp_path: Path) -> None:
    assert values("device=") == ["device=auto", "device=cpu", "device=cuda"]
    assert values("loss.counting=n") == ["loss.counting=notebook"]
    assert values("report=") == ["report=true", "report=false"]
    assert not values("loss.period=")
    assert internal("hydra/schema/loss=")
    assert internal("hydra.launcher._target_=")
    assert not internal("loss.shape=")
    for line, some in (("precision=", {"precision=float64"}), ("loss.", {"loss.period="})):
        environment = {**ENVIRONMENT, "COMP_LINE": f"dynsweep {line}"}
        done = subprocess.run(
            [*COMMAND, "-sc", "query=bash"], env=environment, cwd=tmp_path, text=True,
            capture_output=True, check=True,
        )  # fmt: skip
        assert some < set(done.stdout.split())
        assert "loss.name=" not in done.stdout


def test_help_says_what_each_setting_means_and_may_be(dynsweep: Dynsweep) -> None:
    done = dynsweep("--help", "model.width=7")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    for words in (
        "model.width=7 hidden units H (whole, at least 1)",
        "loss.period=200 T in steps: each cycle emphasises one class (whole, at least 1)",
        "(float32 | float64 | tf32 | bfloat16)",
        "dynsweep-trajectory DIR",
        "dynsweep-status DIR",
    ):
        assert words in text
    assert max(map(len, done.stdout.split("== Settings")[1].splitlines())) <= 100


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """As of ``dynsweep --help | head -1``; here nobody reads at all."""
    process = subprocess.Popen(
        [*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()


QUICK = ["-m", "seed=0,1", "steps=2", "model.width=2", "save_weights=false", "hydra.sweep.dir=d"]


def test_a_file_of_someone_else_is_refused_before_anything(
    tmp_path: Path, dynsweep: Dynsweep
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "results.csv").write_text("id,status\n1,mine\n")
    refused = dynsweep(*QUICK)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("dynsweep: error: d/results.csv: dynsweep did not write this file")
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["results.csv"]
    assert "mine" in (tmp_path / "d" / "results.csv").read_text()


@pytest.mark.parametrize(
    "name", ["cells.csv", "multirun.yaml", "report.html", "gain_train_accuracy.png", "weights"]
)
def test_any_file_that_a_sweep_would_replace_is_looked_at(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("dynsweep,id\n")
    task = Task()
    task.report = True
    with pytest.raises(ForeignFile, match=name):
        task.starts(tmp_path)
    (tmp_path / name).write_text("\0")  # after a power failure
    task.starts(tmp_path)


@pytest.mark.slow
def test_a_single_run_is_refused_too(tmp_path: Path, dynsweep: Dynsweep) -> None:
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    refused = dynsweep("steps=2", "hydra.run.dir=.")
    assert refused.returncode == 2
    assert "results.csv: dynsweep did not write this file" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "results.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("form", ["png", "pdf", "svg"])
def test_own_pictures_are_known_and_others_are_not(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"one.{form}"
    figure = Figure()
    figure.savefig(path)
    with pytest.raises(ForeignFile, match=f"one.{form}: dynsweep did not write"):
        style.save_all(figure, tmp_path / "one", [form])
    # An earlier version's, beside records.
    sweeps.sweep(tmp_path, {"period": [10]})
    style.save_all(figure, tmp_path / "one", [form])
    shutil.rmtree(tmp_path / "runs")
    style.save_all(figure, tmp_path / "one", [form])


def test_a_command_on_records_replaces_what_is_its_own(tmp_path: Path, capsys: Any) -> None:
    directory, output = tmp_path / "sweep", tmp_path / "out"
    sweeps.sweep(directory, {"period": [10, 20], "amplitude": [1.0, 5.0]})
    command = [str(directory), "--output", str(output), "--no-figures"]
    for _ in range(2):
        aggregate_command.main(command)
    template = Path(page.__file__).with_name("page.html")
    shutil.copy(template, output / "report.html")
    refuse_foreign([output / "report.html"])
    # Version f780529 wrote tables too.
    assets = Path(__file__).parent / "assets" / "sweep_format_1"
    for name in ("results.csv", "cells.csv", "multirun.yaml"):
        shutil.copy(assets / name, output)
        refuse_foreign([output / name])
    before = (output / "results.csv").read_text()
    (output / "cells.csv").write_text("mine\n")
    with pytest.raises(SystemExit) as ended:
        aggregate_command.main(command)
    assert ended.value.code == 2
    assert "cells.csv: dynsweep did not write this file" in capsys.readouterr().err
    assert (output / "results.csv").read_text() == before


def test_files_of_others_in_folders_with_our_names_stay(tmp_path: Path) -> None:
    mine = [tmp_path / name for name in ("weights/m.npz", "claims/a.json", ".x.tar.partial")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        os.utime(path, (0, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: 1e11)  # all is old, also where a file's change counts
        remove_leftovers(tmp_path)
        assert Claims(tmp_path).others() == []
    assert all(path.exists() for path in mine)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Begins sweeps, as far as Hydra's record of the command."""
    before = Singleton.get_state()

    def write(*words: str) -> Path:
        register()
        register_schemas()
        with initialize_config_module("dynsweep.conf", version_base="1.3"):
            state = GlobalHydra.instance().hydra
            assert state is not None
            given = ["hydra.mode=MULTIRUN", f"hydra.sweep.dir={tmp_path}", *words]
            write_multirun(
                state.compose_config("config", given, run_mode=RunMode.MULTIRUN), tmp_path
            )
        os.utime(tmp_path / "multirun.yaml", (0, 0))  # long ago
        return tmp_path

    yield write
    Singleton.set_state(before)


def status(directory: Path, capsys: Any) -> list[str]:
    status_command.main([str(directory)])
    out, error = capsys.readouterr()
    assert not error
    return str(out).splitlines()


def test_status_knows_the_grid_what_is_missing_and_how_to_go_on(
    begin: Callable[..., Path], capsys: Any
) -> None:
    directory = begin("loss.period=10,20,40", "seed=range(0,2)", "retry_failed=false")
    sweeps.sweep(directory, {"period": [10, 20, 80], "seed": [0, 1]}, lambda point: (
        "failed" if point == {"period": 20, "seed": 1} else "completed"
    ))  # fmt: skip
    head, *lines = status(directory, capsys)
    assert head == (
        f"{directory}: 3 completed, 1 failed, 2 missing; "
        "6 runs in the grid, and 2 recorded of another"
    )
    assert lines == [
        "Nothing is at work; what is left takes about 0 s.",
        f"To go on: dynsweep -m loss.period=10,20,40 'seed=range(0,2)' retry_failed=false "
        f"hydra.sweep.dir={directory}",
    ]


def test_status_knows_who_is_at_work_and_when_it_ends(
    begin: Callable[..., Path], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = begin("+sweep=width_lr", "seed=0", "model.width=10,20,30,40", "optimizer.lr=1")
    assert "no runs yet" not in status(directory, capsys)[0]
    runs = recorded_grid(directory)
    assert runs is not None
    first, second, *_ = [run.settings.identity() for run in runs]
    claims = Claims(directory)
    monkeypatch.setattr(claiming, "BEAT_SECONDS", 0.01)
    with claims.claim(lambda others: ([0], [first, second])):
        claims.done = 0.5
        claims._content["since"] -= 60
        while not any(claim.done for claim in Claims(directory).others(remove=False)):
            time.sleep(0.01)
        head, work, line, end, *rest = status(directory, capsys)
    assert ": 2 running, " in head
    assert work == "At work now:"
    assert line.strip().startswith(f"{owner()}: 2 runs, 25% done, for 1 min")
    # A minute for half a run: three minutes for what is claimed, two for each of the others.
    minutes = 3 + 2 * (len(runs) - 2)
    found = re.fullmatch(r"Ends in about (\d+) min \d+ s, at \d\d:\d\d on .*", end)
    assert found, end
    assert abs(int(found[1]) - minutes) <= 1
    assert not rest
    assert not claims.folder.exists()
    assert status(directory, capsys)[1] == "Nothing is at work."


def test_status_of_a_single_run(begin: Callable[..., Path], capsys: Any) -> None:
    directory = begin("loss.period=30")
    config = OmegaConf.load(directory / "multirun.yaml")
    (directory / "multirun.yaml").unlink()
    (directory / ".hydra").mkdir()
    OmegaConf.save({"hydra": config.pop("hydra")}, directory / ".hydra" / "hydra.yaml")
    OmegaConf.save(config, directory / ".hydra" / "config.yaml")
    head, *_ = status(directory, capsys)
    assert head == f"{directory}: 1 missing; 1 run in the grid"
    sweeps.sweep(directory, {"period": [30]})
    assert status(directory, capsys) == [f"{directory}: 1 completed; 1 run in the grid"]


@pytest.mark.slow
def test_status_of_a_sweep_at_work_and_killed(tmp_path: Path, capsys: Any) -> None:
    words = ["-m", "seed=range(0,8)", "steps=20000", "model.width=8", "engine=reference"]
    process = subprocess.Popen(
        [*COMMAND, *words, "engine.batch_size=2", "hydra.sweep.dir=d"], cwd=tmp_path,
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    text = ""
    while not re.search(r"d: \d completed, 2 running, \d missing; 8 runs in the grid\n", text):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        text = "\n".join(status(tmp_path / "d", capsys)) if (tmp_path / "d").exists() else ""
    assert "Ends in about " in text
    process.kill()
    process.wait()
    text = "\n".join(status(tmp_path / "d", capsys))
    assert "Nothing is at work; what is left takes about " in text
    assert "To go on: dynsweep -m " in text
    assert f"hydra.sweep.dir={tmp_path / 'd'}" in text
