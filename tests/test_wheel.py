"""The wheel, in an empty environment, far from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_wheel_runs_the_main_job(tmp_path: Path) -> None:
    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"dynsweep/conf/{path.relative_to(ROOT / 'conf')}" in names
    assert "dynsweep/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "conf", "outputs"))]

    run(sys.executable, "-m", "venv", "empty")
    python = tmp_path / "empty" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
    run(
        tmp_path / "empty" / "bin" / "dynsweep",
        "+sweep=period_amplitude",
        "loss.period=100,200",
        "loss.amplitude=1,20",
        "seed=range(0,2)",
        "steps=500",
        "hydra.sweep.dir=out",
    )
    assert len(pd.read_csv(tmp_path / "out" / "results.csv")) == 8
    assert (tmp_path / "out" / "phase_diagram_train_accuracy.png").exists()
    again = run(tmp_path / "empty" / "bin" / "dynsweep-aggregate", "out")
    assert "static" in again

    # Nothing stays that would hide an editable installation after this one.
    run(python, "-m", "pip", "uninstall", "-q", "-y", "dynsweep")
    assert not list((tmp_path / "empty").glob("lib/python*/site-packages/dynsweep"))
