"""``+sweep=optuna``: Hydra's sweeper for Optuna, with batches of runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ENVIRONMENT

from dynsweep.store import read

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]

SMALL = ["+sweep=optuna", "hydra.sweeper.n_jobs=6", "model.width=8", "steps=200", "report=false"]
HIDDEN = """
import pkgutil, sys
walk = pkgutil.walk_packages
pkgutil.walk_packages = lambda *a, **k: (m for m in walk(*a, **k) if "optuna" not in m.name)
from dynsweep.cli.main import main
main()
"""


@pytest.fixture
def optuna() -> None:
    pytest.importorskip(
        "hydra_plugins.hydra_optuna_sweeper", reason="pip install 'dynsweep[optuna]' to test it"
    )


def best(directory: Path) -> float:
    return float(
        yaml.safe_load((directory / "optimization_results.yaml").read_text())["best_value"]
    )


@pytest.mark.slow
@pytest.mark.usefixtures("optuna")
def test_optuna_looks_for_the_best_accuracy_in_batches(tmp_path: Path, dynsweep: Dynsweep) -> None:
    directory = tmp_path / "d"
    command = [*SMALL, "hydra.sweeper.n_trials=12", "report=true", "hydra.sweep.dir=d"]
    done = dynsweep(*command)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.count("Training 6 runs") == 2
    table = pd.read_csv(directory / "results.csv")
    assert set(table["status"]) == {"completed"}
    assert sorted(table["number"]) == list(range(12))
    assert table["period"].between(10, 5000).all()
    assert table["amplitude"].between(1, 100).all()
    assert table["validation_accuracy"].nunique() > 1
    assert best(directory) == table["validation_accuracy"].max()
    assert "+sweep=optuna" in (directory / "multirun.yaml").read_text()
    assert (directory / "report.html").exists()
    # The same points are tried again: the sweep goes on from its records, and further.
    again = dynsweep(*command, "hydra.sweeper.n_trials=18", "report=false")
    assert again.returncode == 0
    assert again.stdout.count("6 of 6 runs are in d already") == 2
    assert again.stdout.count("Training 6 runs") == 1
    assert len(list(read(directory))) == 18
    assert best(directory) >= table["validation_accuracy"].max()


@pytest.mark.slow
@pytest.mark.usefixtures("optuna")
def test_runs_that_fail_or_diverge_do_not_end_the_search(
    tmp_path: Path, dynsweep: Dynsweep
) -> None:
    search = [word for word in SMALL if not word.startswith("model.width")]
    search += ["hydra.sweeper.n_trials=12"]
    losses = ["objective=validation_loss", "hydra.sweeper.direction=minimize", "model.width=8"]
    rates = "optimizer.lr=tag(log,interval(0.1,1e30))"
    done = dynsweep(*search, *losses, rates, "hydra.sweep.dir=a")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "a" / "results.csv")
    assert set(table["status"]) == {"completed", "diverged"}
    assert best(tmp_path / "a") == table["validation_loss"].min()
    done = dynsweep(*search, "model.width=choice(8,1000000000000)", "hydra.sweep.dir=b")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    statuses = pd.read_csv(tmp_path / "b" / "results.csv")["status"]
    assert set(statuses) == {"completed", "failed"}
    told = f"dynsweep: error: {sum(statuses == 'failed')} of 12 runs failed; the first: model.w"
    assert told in done.stderr
    done = dynsweep(*search, "model.width=1000000000000", "hydra.sweep.dir=c")
    assert done.returncode == 2
    assert "dynsweep: error: model.width=1000000000000: 6e+12 weights; needs" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("optuna")
def test_a_bad_setting_is_told_before_anything(tmp_path: Path, dynsweep: Dynsweep) -> None:
    refused = dynsweep(*SMALL, "model.width=0", "hydra.sweep.dir=d")
    assert refused.returncode == 2
    told = "dynsweep: error: model.width=0: must be a finite number, at least 1\n"
    assert refused.stderr == told
    assert not list(tmp_path.iterdir())


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-c", HIDDEN, "+sweep=optuna"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 2
    told = "dynsweep: error: hydra/sweeper=optuna: needs pip install 'dynsweep[optuna]'\n"
    assert refused.stderr == told


def test_a_preset_may_choose_launcher_and_sweeper(tmp_path: Path, dynsweep: Dynsweep) -> None:
    """As the presets of optuna, and one for a cluster in docs/cluster.md, do."""
    conf = tmp_path / "conf" / "sweep"
    conf.mkdir(parents=True)
    (conf / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - period_amplitude\n"
        "  - override /hydra/launcher: fused_slurm\nhydra:\n  launcher:\n    partition: cpu\n"
    )
    shown = ["--cfg", "hydra", "-p", "hydra.launcher"]
    done = dynsweep("--config-dir", "conf", "+sweep=mine", *shown)
    assert done.returncode == 0, done.stderr
    assert "FusedSlurmLauncher" in done.stdout
    assert "partition: cpu" in done.stdout
    assert "FusedLauncher" in dynsweep(*shown).stdout
