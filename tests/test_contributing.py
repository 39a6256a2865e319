"""The examples of CONTRIBUTING.md, made in a copy of the package, and their commands run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(
    re.findall(r"<!-- example: (\w+) -->\n(.*?)(?=\n###|\n<!-- example|\Z)", TEXT, re.S)
)
MODULES = {
    "dynsweep": "dynsweep",
    "dynsweep-aggregate": "dynsweep.cli.aggregate_command",
}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder from which the package is imported before the installed one."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "dynsweep", tmp_path / "dynsweep", ignore=ignore)
    shutil.copytree(ROOT / "conf", tmp_path / "dynsweep" / "conf", ignore=ignore)
    return tmp_path


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def make(text: str, root: Path) -> None:
    """Write the files of an example, and its lines into the registry."""
    for body in blocks(text, "python") + blocks(text, "yaml"):
        first, rest = body.split("\n", 1)
        path = first.removeprefix("# ")
        if path.startswith("conf/"):
            path = f"dynsweep/{path}"
        assert not (root / path).exists()
        (root / path).write_text(rest)
    (change,) = blocks(text, "diff")
    first, *lines = change.splitlines()
    registry = root / first.removeprefix("--- ")
    added, anchor, entry = lines[0], lines[1][1:], lines[2][1:]
    source = registry.read_text()
    assert source.count(anchor) == 1
    source = source.replace(anchor, f"{anchor}\n{entry}")
    place = source.index("\nfrom dynsweep") + 1 if "\nfrom dynsweep" in source else 0
    registry.write_text(f"{source[:place]}{added[1:]}\n{source[place:]}")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works(name: str, copied: Path) -> None:
    make(EXAMPLES[name], copied)
    environment = {**os.environ, "PYTHONPATH": str(copied), "PYTHONDONTWRITEBYTECODE": "1"}
    for line in blocks(EXAMPLES[name], "bash")[0].splitlines():
        command, *arguments = shlex.split(line)
        done = subprocess.run(
            [sys.executable, "-m", MODULES[command], *arguments],
            cwd=copied, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    (directory,) = (path.parent for path in copied.glob("*/results.csv"))
    table = pd.read_csv(directory / "results.csv")
    assert (table["status"] == "completed").all()
    assert len(table) >= 4
    seen = {
        "dataset": lambda: set(table["dataset"]) == {"moons"} and table["dataset.noise"].nunique(),
        "model": lambda: set(table["model"]) == {"deep"} and set(table["engine"]) == {"reference"},
        "schedule": lambda: (
            set(table["loss.shape"]) == {"triangle", "parabola"}
            and set(table["engine"]) == {"compiled"}
            and table["train_loss"].nunique() == 4
        ),
        "metric": lambda: (
            table["train_confidence"].between(1 / 3, 1).all()
            and (directory / "phase_diagram_train_confidence.png").exists()
        ),
        "figure": lambda: (directory / "spread.png").stat().st_size > 5000,
    }
    assert seen[name]()


@pytest.mark.slow
def test_a_setting_that_nobody_thought_about_is_safe(copied: Path) -> None:
    """Added to a group of the old version's records: batches part, fast engines decline, and a
    directory recorded before goes on."""
    path = copied / "dynsweep" / "config" / "groups.py"
    source = path.read_text()
    anchor = "    shape: str = setting("
    assert source.count(anchor) == 1
    path.write_text(source.replace(anchor, f"    smoothing: float = setting(0.0)\n{anchor}"))
    environment = {**os.environ, "PYTHONPATH": str(copied), "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["-m", "steps=20", "model.width=8", "seed=0,1", "hydra.sweep.dir=out"]

    def run(*more: str, python: str = "-m", where: dict[str, str] = environment) -> str:
        done = subprocess.run(
            [sys.executable, python, "dynsweep", *command, *more],
            cwd=copied.parent, env=where, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run(where=dict(os.environ))  # before the setting was there
    said = run("loss.smoothing=0,0.1,0.2")
    assert "2 of 6 runs are in out already" in said
    table = pd.read_csv(copied.parent / "out" / "results.csv")
    engines = table.groupby("loss.smoothing", dropna=False)["engine"].unique()
    assert {str(k): list(v) for k, v in engines.items()} == {
        "0.0": ["compiled"], "0.1": ["reference"], "0.2": ["reference"],
    }  # fmt: skip
    assert said.count("Training 2 runs") == 2
    refused = subprocess.run(
        [sys.executable, "-m", "dynsweep", "loss.smoothing=0.1", "engine=compiled"],
        cwd=copied.parent, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "loss.smoothing=0.0, not 0.1" in refused.stderr
