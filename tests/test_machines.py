"""Processors and systems other than this one, as far as this one can show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ENVIRONMENT

HERE = Path(__file__).parent
AVX2 = "+avx2,+fma,+avx,+sse4.2,+bmi,+bmi2"
NOT_LINUX = """
import os, sys
del os.sched_getaffinity, os.sysconf_names["SC_AVPHYS_PAGES"]
def refuse(event, details):
    if event == "open" and str(details[0]).startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(2, "No such file or directory", details[0])
sys.addaudithook(refuse)
from dynsweep.cli.start import dynsweep
dynsweep()
"""


@pytest.mark.parametrize(
    "target",
    [
        ("x86_64", "haswell", AVX2),
        pytest.param(("aarch64", "apple-m1", "+neon"), marks=pytest.mark.slow),
        pytest.param(("aarch64", "neoverse-n1", "+neon"), marks=pytest.mark.slow),
    ],
)
def test_few_registers_are_spilled(target: tuple[str, str, str]) -> None:
    """Of a step at least five operations of arithmetic to each."""
    done = subprocess.run(
        [sys.executable, HERE / "machine_code.py", *target], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    spills, arithmetic = map(int, done.stdout.split())
    assert arithmetic > 100
    assert spills < arithmetic / 5


@pytest.mark.slow
def test_vectors_of_half_the_size_train_the_same(tmp_path: Path) -> None:
    """With AVX2 code, a hundred steps in float64 end where they end without, to rounding."""
    tables = []
    for name, own in (
        ("here", {}),
        ("avx2", {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": AVX2}),
    ):
        command = [
            sys.executable, "-m", "dynsweep", "-m", "seed=0,1", "steps=100", "precision=float64",
            "model.width=13", "report=false", f"hydra.sweep.dir={name}",
        ]  # fmt: skip
        environment = ENVIRONMENT | own | {"NUMBA_CACHE_DIR": str(tmp_path / f"{name}_cache")}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        tables.append(pd.read_csv(tmp_path / name / "results.csv"))
    for column in ("train_loss", "validation_loss", "train_accuracy"):
        pd.testing.assert_series_equal(tables[0][column], tables[1][column], rtol=1e-9)


@pytest.mark.slow
def test_without_what_only_linux_has(tmp_path: Path) -> None:
    command = ["-m", "seed=0,1", "steps=20", "hydra.launcher.workers=2", "hydra.sweep.dir=d"]
    done = subprocess.run(
        [sys.executable, "-c", NOT_LINUX, *command],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert list(pd.read_csv(tmp_path / "d" / "results.csv")["status"]) == ["completed"] * 2
