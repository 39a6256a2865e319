"""A single run that is refused, or cannot be stored."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]


def test_a_refused_setting_leaves_no_secret(dynsweep: Dynsweep, tmp_path: Path) -> None:
    token = "+hydra.job.env_set.MY_TOKEN=hush"
    assert dynsweep("steps=-1", token, "hydra.run.dir=d").returncode == 2
    assert "MY_TOKEN" in (tmp_path / "d" / ".hydra" / "hydra.yaml").read_text()
    for path in (tmp_path / "d").rglob("*.*"):
        assert path.is_dir() or "hush" not in path.read_text()


def test_what_cannot_be_written_is_status_1(dynsweep: Dynsweep, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "weights").touch()  # no folder, whoever asks
    done = dynsweep("steps=20", "hydra.run.dir=d")
    assert done.returncode == 1
    assert "1 run is recorded and safe" in done.stderr
