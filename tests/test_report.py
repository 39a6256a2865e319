"""The report page: what it says, how large it is, and that nothing in it is taken for HTML."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dynsweep.cli.aggregate import aggregate
from dynsweep.page.page import MOST_BYTES
from dynsweep.store import METRICS, Record, Store, write_weights

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]


def page(directory: Path, **options: Any) -> tuple[str, dict[str, Any]]:
    """Text and data of the page of a sweep directory."""
    summary = aggregate([directory], html=True, figures=False, **options)
    text = (directory / "report.html").read_text()
    assert directory / "report.html" in summary.files
    packed = re.search(r'id="packed-data">([^<]+)<', text)
    assert packed
    return text, json.loads(gzip.decompress(base64.b64decode(packed[1])))


def write(directory: Path, side: int, seeds: int, **more: Any) -> None:
    """A synthetic sweep of ``side`` x ``side`` cells; accuracy says which run it is."""
    random = np.random.default_rng(0)
    store = Store(directory)
    records, weights = [], []
    for number in range(side * side * seeds):
        cell, seed = divmod(number, seeds)
        period, amplitude = 10 + cell % side, 1.0 + cell // side
        accuracy = round(number / (side * side * seeds), 4)
        config = {
            "dataset.name": "spirals", "model.name": "mlp", "model.width": 20,
            "loss.period": period, "loss.amplitude": amplitude, "seed": seed, **more,
        }  # fmt: skip
        overrides = [f"loss.period={period}", f"loss.amplitude={amplitude}", f"seed={seed}"]
        metrics = dict.fromkeys(METRICS, 0.5) | {"validation_accuracy": accuracy}
        records.append(
            Record(f"{number:016x}", number, overrides, config, "completed", metrics, 0.1)
        )
        weights.append(random.standard_normal(20 * 5 + 23))
    flat = np.array(weights, dtype=np.float32)
    shapes = {"w1": (2, 20), "b1": (20,), "w2": (20, 3), "b2": (3,)}
    arrays, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        arrays[name] = flat[:, start : start + size].reshape(len(flat), *shape)
        start += size
    write_file = write_weights([record.id for record in records], arrays)
    file = store.attach(store.paths.weights, ".npz", write_file)
    store.append(records, {"engine": "compiled", "device": "cpu", "weights": file})
    store.close()


def test_rows_say_what_the_tables_say(tmp_path: Path) -> None:
    write(tmp_path, side=4, seeds=3)
    _, data = page(tmp_path)
    runs = pd.read_csv(tmp_path / "results.csv")
    assert [axis["name"] for axis in data["axes"]] == ["period", "amplitude"]
    rows, cells = data["runs"], data["cells"]
    for axis, places in zip(data["axes"], cells["at"], strict=True):
        values = [axis["values"][places[cell]] for cell in rows["cell"]]
        assert values == runs[axis["name"]].tolist()
    assert rows["seed"] == runs["seed"].tolist()
    assert rows["validation_accuracy"] == pytest.approx(runs["validation_accuracy"].tolist())
    static = runs[runs["amplitude"] == 1].groupby("seed")["validation_accuracy"].mean()
    gains = runs["validation_accuracy"] - runs["seed"].map(static)
    assert rows["gain_validation_accuracy"] == pytest.approx(gains.tolist(), rel=1e-4)
    table = pd.read_csv(tmp_path / "cells.csv")
    for name, mean, error in (
        ("validation_accuracy", "validation_accuracy_mean", "validation_accuracy_se"),
        ("gain_validation_accuracy", "validation_accuracy_gain", "validation_accuracy_gain_se"),
    ):
        assert cells["of"][name]["mean"] == pytest.approx(table[mean].tolist(), rel=1e-4)
        known = [np.nan if value is None else value for value in cells["of"][name]["error"]]
        assert known == pytest.approx(table[error].tolist(), rel=1e-4, nan_ok=True)
        assert cells["of"][name]["count"] == [3] * 16
    first = [rows["tokens"][token] for token in rows["command"][0]]
    assert first == ["loss.period=10", "loss.amplitude=1.0", "seed=0"]
    assert data["counts"] == {"completed": 48, "diverged": 0, "failed": 0}


def test_decision_regions_are_those_of_the_weights(tmp_path: Path) -> None:
    """A tile of the sprite against the model evaluated at the middle of its pixels."""
    import io

    from PIL import Image

    from dynsweep.analysis import decisions
    from dynsweep.analysis.frame import load_runs
    from dynsweep.store import load_weights

    write(tmp_path, side=3, seeds=3)
    _, data = page(tmp_path)
    sprite = data["sprite"]
    assert len(sprite["rows"]) == 9
    # Of three seeds the middle one is nearest to the mean.
    assert {data["runs"]["seed"][row] for row in sprite["rows"]} == {1}
    image = Image.open(io.BytesIO(base64.b64decode(sprite["image"].partition(",")[2])))
    place, size = 5, sprite["tile"]
    left, top = place % sprite["columns"] * size, place // sprite["columns"] * size
    tile = np.array(image)[top : top + size, left : left + size]
    runs = load_runs([tmp_path])
    run = runs.loc[sprite["rows"][place]]
    settings = decisions.recorded_settings(runs)[run["id"]]
    assert settings.model.width == 20
    weights = load_weights(tmp_path, run["weights"])[run["id"]]
    side = decisions.window(settings.dataset.load().train_inputs)[1]
    line = np.linspace(-side, side, size)
    points = np.array([[x, y] for y in line[::-1] for x in line])
    expected = decisions.predictor(settings, weights)(points) + 1
    np.testing.assert_array_equal(tile.ravel(), expected)


def test_2500_cells_fit_into_six_megabytes(tmp_path: Path) -> None:
    write(tmp_path, side=50, seeds=3)
    text, data = page(tmp_path)
    assert len(text.encode()) < MOST_BYTES
    assert len(data["sprite"]["rows"]) == 2500
    assert len(data["runs"]["seed"]) == 7500


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    write(tmp_path, side=2, seeds=1, **{"dataset.root": evil})
    store = Store(tmp_path)
    config = {
        "dataset.name": "spirals", "model.name": "mlp", "model.width": 20, "loss.period": 99,
        "loss.amplitude": 1.0, "seed": 0, "dataset.root": evil,
    }  # fmt: skip
    store.append([Record("f", 0, [f"x={evil}"], config, "failed", {}, 0, evil)], {"engine": evil})
    store.close()
    text, data = page(tmp_path)
    assert evil not in text
    assert "&lt;/script&gt;" in text  # told, as text
    assert evil in data["runs"]["errors"].values()
    assert text.count("</script>") == 3


@pytest.mark.slow
def test_a_sweep_ends_with_the_page_unless_told_otherwise(
    tmp_path: Path, dynsweep: Dynsweep
) -> None:
    grid = ["-m", "loss.period=10,20", "loss.amplitude=1,5", "steps=5"]
    done = dynsweep(*grid, "hydra.sweep.dir=with")
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    text = (tmp_path / "with" / "report.html").read_text()
    assert "dynsweep -m hydra.sweep.dir=with loss.period=10,20 loss.amplitude=1,5 steps=5" in text
    done = dynsweep(*grid, "hydra.sweep.dir=without", "report=false")
    assert done.returncode == 0
    assert not (tmp_path / "without" / "report.html").exists()


def test_one_run_and_one_axis(tmp_path: Path) -> None:
    write(tmp_path / "one", side=1, seeds=1)
    _, data = page(tmp_path / "one")
    assert data["axes"] == []
    write(tmp_path / "seeds", side=1, seeds=4)
    _, data = page(tmp_path / "seeds")
    assert data["runs"]["seed"] == [0, 1, 2, 3]


def test_too_many_runs_become_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dynsweep.page import payload

    monkeypatch.setattr(payload, "MOST_RUNS", 20)
    write(tmp_path, side=4, seeds=3)
    _, data = page(tmp_path)
    cells = pd.read_csv(tmp_path / "cells.csv")
    assert data["runs"] is None
    assert data["cells"]["runs"] == [3] * 16
    means = cells["validation_accuracy_mean"].tolist()
    assert data["cells"]["of"]["validation_accuracy"]["mean"] == pytest.approx(means, rel=1e-4)
