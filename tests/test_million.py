"""A million records are aggregated within bounded memory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest


@pytest.mark.slow
def test_a_million_records_within_two_gigabytes(tmp_path: Path) -> None:
    """About 70 s for the aggregation, half as long for writing the records."""
    script = Path(__file__).parents[1] / "benchmarks" / "million.py"
    command = [sys.executable, str(script), "--keep", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    found = re.search(r"aggregated in (\d+) s, peak memory ([\d.]+) GiB", done.stdout)
    assert found, done.stdout
    print(done.stdout)
    assert float(found[2]) < 2
    cells = pd.read_csv(tmp_path / "cells.csv")
    assert len(cells) == 10_000
    assert (cells["seeds"] == 100).all()
    # Metrics are uniform between 0 and 1.
    assert cells["validation_accuracy_mean"].mean() == pytest.approx(0.5, abs=0.002)
    with (tmp_path / "results.csv").open() as file:
        assert sum(1 for _ in file) == 1_000_001
