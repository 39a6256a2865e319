"""More of what a new user types: names and numbers as people write them, help, the way back."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import COMMAND, ENVIRONMENT
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from dynsweep.cli.completion import internal, values
from dynsweep.cli.hydra_errors import one_line
from dynsweep.config.words import understood, unknown
from dynsweep.errors import ConfigError
from dynsweep.store import read

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
        ("-m model=", "model=: must be one of mlp, myrtle5, wide_resnet"),
        ("steps=1.5e0", "steps=1.5e0: must be a whole number"),
        (
            "hydra.sweep.dir=",
            "hydra.sweep.dir=: must name a directory; . is the working directory",
        ),
        ("=3", "=3: a value without a name; type name=value"),
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


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "all"], ["--version"]])
def test_a_closed_pipe_is_quiet(arguments: list[str], tmp_path: Path) -> None:
    """As of ``dynsweep --help | head -1``; here nobody reads at all."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()
