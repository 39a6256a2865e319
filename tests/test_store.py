"""The store: whole records or none, whatever happens to the writer."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dynsweep.analysis.frame import load_frame
from dynsweep.store import Record, Store, Trajectory, latest, load_weights, read, write_weights

METRICS = {
    "train_accuracy": 0.9,
    "validation_accuracy": 0.8,
    "train_loss": 0.1,
    "validation_loss": 0.2,
}


def record(number: int, status: str = "completed", **metrics: float) -> Record:
    config = {"dataset.name": "spirals", "model.name": "mlp", "loss.period": number}
    config |= {"seed": 0, "device": "auto"}
    values = {} if status == "failed" else {**METRICS, **metrics}
    error = "ValueError: no" if status == "failed" else None
    return Record(
        f"id{number}", number, [f"loss.period={number}"], config, status, values, 0.5, error
    )


def test_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path)
    weights = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
    name = store.attach(store.paths.weights, ".npz", write_weights(["id1", "id2"], weights))
    shared = {"engine": "x", "weights": name}
    store.append([record(1), record(2, "diverged", train_loss=math.nan)], shared)
    store.append([record(3, "failed")], {"engine": "x"})
    first, second, third = read(tmp_path)
    assert first["config"] == record(1).config
    assert first["overrides"] == ["loss.period=1"]
    assert first["engine"] == "x"
    assert second["train_loss"] is None
    assert second["config"]["loss.period"] == 2
    assert third["error"] == "ValueError: no"
    assert [entry["id"] for entry in latest(tmp_path).values()] == ["id1", "id2", "id3"]
    assert load_weights(tmp_path, second["weights"])["id2"]["w"].tolist() == [3, 4, 5]
    for line in next((tmp_path / "runs").iterdir()).read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # strict JSON: no NaN


def test_a_torn_tail_is_no_record(tmp_path: Path) -> None:
    """Cut the file at every byte: readers see a prefix of the records, whole ones."""
    Store(tmp_path).append([record(i) for i in range(3)], {"engine": "x"})
    path = next((tmp_path / "runs").iterdir())
    whole = path.read_bytes()
    seen = set()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        entries = list(read(tmp_path))
        assert [entry["id"] for entry in entries] == [f"id{i}" for i in range(len(entries))]
        assert all(entry["train_accuracy"] == 0.9 for entry in entries)
        seen.add(len(entries))
    assert seen == {0, 1, 2, 3}


def test_a_trajectory_grows_and_keeps_what_was_recorded_at_some_steps_only() -> None:
    trajectory = Trajectory()
    for step in range(0, 200, 2):
        columns = {"loss": np.array([step, step + 1.0])}
        if step % 10 == 0:
            columns["weights/w"] = np.full((2, 3), step, dtype=np.float32)
        trajectory.add(step, columns)
    assert list(trajectory) == list(range(0, 200, 2))
    assert trajectory[42].keys() == {"loss"}
    assert trajectory[50]["weights/w"].tolist() == [[50] * 3] * 2
    assert 51 not in trajectory
    assert trajectory.column("weights/w")[0].tolist() == list(range(0, 200, 10))
    chosen = trajectory.of_runs([1, 1, 0])
    steps, values = chosen.column("loss")
    assert values.tolist() == [[step + 1, step + 1, step] for step in steps.tolist()]
    assert chosen[50]["weights/w"].dtype == np.float32


def test_two_processes_write_two_files(tmp_path: Path) -> None:
    script = (
        "import sys; from dynsweep.store import Record, Store\n"
        "store = Store(sys.argv[1])\n"
        "for i in range(200): store.append([Record(sys.argv[2] + str(i), i, [], {'a': i},"
        " 'completed')], {'engine': sys.argv[2]})\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in "ab"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    entries = list(read(tmp_path))
    assert len(entries) == 400
    assert all(entry["id"].startswith(entry["engine"]) for entry in entries)


def test_frame_counts_a_run_once(tmp_path: Path) -> None:
    one, two = Store(tmp_path), Store(tmp_path)
    one.append([record(1, "failed"), record(2)], {"engine": "x"})
    two.append([record(1), record(3, "failed")], {"engine": "y"})
    frame = load_frame([tmp_path]).set_index("id")
    assert frame["status"].to_dict() == {"id1": "completed", "id2": "completed", "id3": "failed"}
    assert frame.loc["id1", "engine"] == "y"
    assert frame.loc["id2", "period"] == 2
    assert math.isnan(frame.loc["id3", "train_loss"])
    assert "device" not in frame  # a setting that does not decide the result


def test_empty_directory(tmp_path: Path) -> None:
    assert load_frame([tmp_path]).empty
