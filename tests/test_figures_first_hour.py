"""What a person sees of a sweep in the first hour: figures, page, summary and progress."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ENVIRONMENT
from runs import make_run

from dynsweep.analysis import decisions

WIDE = """
import resource, sys
import numpy as np
from runs import make_run
from dynsweep.analysis.decisions import predictor

def predict(width):
    run = make_run(width=width)
    weights = run.model.build((2,), 3).init(0)
    points = np.random.default_rng(0).normal(size=(10_000, 2))
    assert predictor(run, {name: value.float() for name, value in weights.items()})(points).any()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

print(-predict(10) + predict(20_000))
"""


def test_decision_regions_of_20000_units_take_little_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WIDE], cwd=Path(__file__).parent, env=ENVIRONMENT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100  # MB; all points at once take 1,600


@pytest.mark.parametrize("bias", [True, False])
def test_slices_predict_the_same_classes(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(width=500, bias=bias)
    drawn = run.model.build((2,), 3).init(1)
    weights = {name: value.float().numpy() for name, value in drawn.items()}
    weights["w1"][:, 0] = 1e38
    points = np.random.default_rng(0).normal(size=(3001, 2))
    sliced = decisions.predictor(run, weights)(points)
    monkeypatch.setattr(decisions, "SLICE_BYTES", 1)
    assert np.array_equal(decisions.predictor(run, weights)(points[:300]), sliced[:300])
    monkeypatch.setattr(decisions, "SLICE_BYTES", 2**40)
    assert np.array_equal(decisions.predictor(run, weights)(points), sliced)
    assert {-1} < set(sliced)  # some overflow
