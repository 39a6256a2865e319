"""The search for conditions in which generalisation improves: its preset, and its statistics."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

FOLDER = Path(__file__).parent.parent / "outputs" / "reference" / "generalisation"


@pytest.fixture(scope="module")
def confirm() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "confirm.py"))


def test_holm_by_hand(confirm: dict[str, Any]) -> None:
    corrected = confirm["holm"](pd.Series([0.04, 0.01, 0.03], index=["a", "b", "c"]))
    assert corrected.to_dict() == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert confirm["holm"](pd.Series([0.9, 0.8])).tolist() == [1, 1]


def test_the_static_loss_is_stopped_on_points_that_do_not_judge_it(
    confirm: dict[str, Any],
) -> None:
    columns = ["dataset.seed", "seed", "lr", "amplitude", "step", "even", "odd"]
    steps = pd.DataFrame(
        [
            (1, 0, 1.0, 20, 50, 0.95, 0.6),
            (1, 0, 1.0, 20, 100, 0.9, 0.7),
            (1, 0, 1.0, 1, 100, 0.4, 0.5),
            (1, 0, 0.5, 1, 0, 0.0, 0.1),
            (1, 0, 0.5, 1, 100, 0.8, 0.4),  # best on the points that choose, not on the others
            (1, 0, 0.5, 1, 200, 0.6, 0.6),
            (1, 0, 0.5, 1, 300, 0.2, 0.3),
        ],
        columns=columns,
    )
    best = confirm["Best"](lr=1.0, static_lr=0.5, static_steps=200)
    gain = confirm["differences"](steps, best).loc[(1, 0)].to_dict()
    # at equal settings; at its best rate and steps; trained longest; stopped early, and both
    found = {"equal": 0.35, "tuned": 0.2, "longest": 0.55, "early": 0.3, "both_early": 0.2}
    assert gain == pytest.approx(found)
