"""Damage of any kind in a sweep directory: what is whole is read, what is not is named."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sweeps
from conftest import COMMAND, ENVIRONMENT

from dynsweep.cli.aggregate import aggregate
from dynsweep.cluster.shards import Shard, WorkerStatus, read_submissions
from dynsweep.cluster.status import report
from dynsweep.page.page import _commands
from dynsweep.store import (
    Damaged,
    Record,
    Store,
    damage,
    load_snapshots,
    load_trajectories,
    load_weights,
    read,
    write_weights,
)
from dynsweep.training.driver import Checkpoint

SEED = random.SystemRandom().randrange(10**6)
GRID = ["-m", "loss.period=10,20", "seed=range(0,3)", "steps=40", "engine.batch_size=2"]
GRID += ["hydra.launcher.workers=2", "observe=metrics", "observe.snapshots_every=20"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with files of every kind, those of workers and a checkpoint among them."""
    directory = tmp_path_factory.mktemp("damage") / "d"
    command = [*COMMAND, *GRID, f"hydra.sweep.dir={directory}"]
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT, timeout=200)
    checkpoint(directory).save(
        {"step": np.array(7), "seconds": np.array(0.5), "weights": np.arange(30.0)},
        sweeps_trajectory(),
    )
    return directory


def checkpoint(directory: Path) -> Checkpoint:
    return Checkpoint(directory / "checkpoints", ["a", "b"], "reference", 5.0)


def sweeps_trajectory() -> Any:
    from dynsweep.store import Trajectory

    trajectory = Trajectory()
    trajectory.add(3, {"train_loss": np.array([1.0, 2.0])})
    return trajectory


LOADERS: dict[str, Callable[[Path, dict[str, Any]], Any]] = {
    "weights": lambda d, entry: load_weights(d, entry["weights"])[entry["id"]],
    "snapshots": lambda d, entry: load_snapshots(d, entry["snapshots"], entry["id"]),
}


def contents(directory: Path) -> dict[str, Any]:
    """All that readers make of a directory, by what it is of; what is damaged is absent."""
    found: dict[str, Any] = {}
    for entry in read(directory):
        found[f"run {entry['identity']}"] = {**entry, "finished": None}
        for kind, load in LOADERS.items():
            with contextlib.suppress(Damaged):
                found[f"{kind} {entry['id']}"] = pickle.dumps(load(directory, entry))
    for run, steps in load_trajectories(directory).groupby("id"):
        found[f"trajectory {run}"] = steps.to_csv(index=False)
    for submission in read_submissions(directory):
        found[f"task {submission.job}"] = submission
        with contextlib.suppress(Damaged):
            found[f"shard {submission.shard.name}"] = Shard.read(submission.shard).runs
        if (status := WorkerStatus.read(submission.shard)) is not None:
            found[f"status {submission.shard.name}"] = status
    for command in _commands([directory]):
        found["command"] = command
    if (saved := checkpoint(directory).load()) is not None:
        found["checkpoint"] = repr((saved[0], {k: saved[1][k] for k in saved[1]}))
    return found


def harmed(data: bytes, chance: random.Random) -> bytes:
    """The same with bytes flipped, cut, zeroed, put in, moved or doubled."""
    at = chance.randrange(len(data) + 1)
    to = min(len(data), at + chance.choice([1, 1, 2, 10, 100, 1000, 10**6]))
    garbage = chance.randbytes(to - at)
    return {
        "flip": data[:at] + bytes([b ^ (1 << chance.randrange(8)) for b in data[at : at + 1]])
        + data[at + 1 :],
        "garble": data[:at] + garbage + data[to:],
        "zero": data[:at] + bytes(to - at) + data[to:],
        "cut": data[:at],
        "cut out": data[:at] + data[to:],
        "put in": data[:at] + chance.choice([garbage, b"\n", b"\nnonsense\n"]) + data[at:],
        "double": data[:to] + data[at:],
        "newline": data.replace(b"\n", b"x", 1) if chance.random() < 0.5 else data[::-1],
    }[chance.choice(["flip"] * 4 + ["garble", "zero", "cut", "cut out", "put in", "double", "newline"])]  # fmt: skip  # noqa: E501


def damaging(finished: Path, work: Path, count: int, seed: int) -> Iterator[tuple[Path, Path]]:
    """A copy of the directory, again and again with one file damaged; the copy and the file."""
    shutil.copytree(finished, work)
    files = [path for path in sorted(work.rglob("*")) if path.is_file()]
    kinds: dict[str, list[Path]] = {}
    for path in files:
        if path.suffix not in (".png", ".pdf", ".csv", ".html", ".log"):
            kinds.setdefault(f"{path.parent.name}{path.suffix}", []).append(path)
    chance = random.Random(seed)
    for _ in range(count):
        path = chance.choice(kinds[chance.choice(sorted(kinds))])
        whole = path.read_bytes()
        path.write_bytes(harmed(whole, chance))
        yield work, path
        path.write_bytes(whole)


def damage_trials(finished: Path, work: Path, count: int, seed: int) -> None:
    before = contents(finished)
    lines = {
        entry["id"]: line
        for path in (finished / "runs").glob("*.jsonl")
        for line in path.read_bytes().splitlines()
        if "id" in (entry := json.loads(line))
    }
    for directory, path in damaging(finished, work, count, seed):
        after = contents(directory)
        for what, value in after.items():
            assert what in before, (seed, path)
            expected = before[what]
            if what.startswith("task"):
                value, expected = value.runs, expected.runs
            assert str(value) == str(expected), (seed, path, what)
        assert report(directory)
        if path.parent.name == "runs":
            left = path.read_bytes()
            heads = [line for line in left.splitlines() if line.startswith(b'{"crc"') and b'"batch"' in line]  # fmt: skip  # noqa: E501
            for run, line in lines.items():
                of = json.loads(line)["of"].encode()
                if line in left and any(of in head and whole_line(head) for head in heads):
                    assert f"run {run}" in after, (seed, path, run)
        elif path.parent.name not in ("weights", "snapshots", "trajectories"):
            assert sum(w.startswith("run") for w in after) == 6


def whole_line(line: bytes) -> bool:
    from dynsweep.store.sealed import unseal

    return unseal(line) is not None


def test_damage_of_any_bytes(finished: Path, tmp_path: Path) -> None:
    print("seed", SEED)
    damage_trials(finished, tmp_path / "d", 100, SEED)


@pytest.mark.slow
def test_damage_of_any_bytes_thousands_of_times(finished: Path, tmp_path: Path) -> None:
    print("seed", SEED)
    damage_trials(finished, tmp_path / "d", 3000, SEED)


@pytest.mark.slow
def test_commands_after_damage(finished: Path, tmp_path: Path) -> None:
    """Tables, the page, and resuming: no traceback, and in the end all is there again."""
    expected = table(finished)
    for number, (directory, path) in enumerate(damaging(finished, tmp_path / "d", 24, SEED)):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(directory, copy)
        aggregate([copy], html=number % 3 == 0, figures=number % 5 == 0)
        rows = table(copy)
        pd.testing.assert_frame_equal(rows, expected.loc[rows.index])
        command = [sys.executable, "-m", "dynsweep.cli.trajectory_command", str(copy)]
        drawn = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert "Traceback" not in drawn.stderr, (SEED, path, drawn.stderr)
        if number % 4 == 0:
            command = [*COMMAND, *GRID, f"hydra.sweep.dir={copy}", "report=false"]
            again = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
            assert again.returncode == 0, (SEED, path, again.stderr)
            assert "Traceback" not in again.stdout + again.stderr
            pd.testing.assert_frame_equal(table(copy), expected)
        shutil.rmtree(copy)


def table(directory: Path) -> pd.DataFrame:
    aggregate([directory], figures=False)
    frame = pd.read_csv(directory / "results.csv").set_index("id").sort_index()
    return frame.drop(columns=["seconds", "number"])


def named(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture(autouse=True)
def _afresh() -> None:
    damage._named.clear()


def edit(line: bytes, **values: object) -> bytes:
    """A line without a checksum, as a person would leave it."""
    entry = {**json.loads(line), **values}
    return json.dumps({k: v for k, v in entry.items() if k != "crc" and v != "gone"}).encode()


EDITS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "garbage": lambda lines: [*lines[:3], b"garbage", *lines[3:]],
    "zeros": lambda lines: [*lines[:3], bytes(40), *lines[3:]],
    "empty": lambda lines: [*lines[:3], b"", *lines[3:]],
    "status": lambda lines: [*lines[:3], edit(lines[3], status="paused"), *lines[4:]],
    "overrides": lambda lines: [*lines[:3], edit(lines[3], overrides="gone"), *lines[4:]],
    "number": lambda lines: [*lines[:3], lines[3].replace(b'loss":0', b'loss":1'), *lines[4:]],
}


@pytest.mark.parametrize("kind", EDITS)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_line_is_named_and_the_others_count(
    kind: str, sealed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweeps.sweep(tmp_path, {"period": [10, 20, 40, 80], "amplitude": [10.0]})
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    lines = path.read_bytes().splitlines()
    if not sealed:  # as written before
        first = edit(lines[0], batch={**json.loads(lines[0])["batch"], "format": 2})
        lines = [first, *(edit(line, of="gone") for line in lines[1:-1])]
        if kind == "number":
            return  # without a checksum nobody can tell
    path.write_bytes(b"\n".join([*EDITS[kind](lines), b""]))
    added = kind in ("garbage", "zeros", "empty")
    assert len(list(read(tmp_path))) == 3 + added
    (text,) = named(caplog)
    assert f"{path}, line 4: damaged" in text
    assert "trained again" in text
    assert len(aggregate([tmp_path], figures=False).runs) == 3 + added


def test_foreign_files_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sweeps.sweep(tmp_path, {"period": [10, 20], "amplitude": [10.0]})
    runs = tmp_path / "runs"
    (runs / "notes.jsonl").write_text('{"text": "mine"}\n[1, 2]\n"x"\n' + "[" * 100_000 + "\n")
    (runs / "._x.jsonl").write_bytes(b"\x00\x05\x16\x07\x00Mac OS X\xff")
    (runs / "folder.jsonl").mkdir()
    (runs / "nowhere.jsonl").symlink_to("nothing")
    assert len(list(read(tmp_path))) == 2
    texts = named(caplog)
    for name in ("notes.jsonl, lines 1-4", "._x.jsonl", "folder.jsonl", "nowhere.jsonl"):
        assert any(name in text for text in texts), name
    assert len(texts) == 4
    assert len(aggregate([tmp_path], figures=False).runs) == 2


@pytest.mark.parametrize("name", ["../../secret.npz", "/etc/passwd", "..", "link.npz", "a/b.npz"])
def test_weights_are_opened_in_their_folder_only(name: str, tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    (directory / "weights" / "a").mkdir(parents=True)
    np.savez(tmp_path / "a" / "secret.npz", ids=np.array(["x"]), w=np.zeros((1, 2)))
    (directory / "weights" / "link.npz").symlink_to(tmp_path / "a" / "secret.npz")
    with pytest.raises(Damaged, match="outside"):
        load_weights(directory, name)


def test_weights_are_not_unpickled(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "harm"),)

    (tmp_path / "weights").mkdir()
    np.savez(tmp_path / "weights" / "x.npz", ids=np.array(["x"]), w=np.array([Harm()]))
    with pytest.raises(Damaged):
        load_weights(tmp_path, "x.npz")
    assert not (tmp_path / "harm").exists()


def test_half_a_character_in_a_text(tmp_path: Path) -> None:
    """Files and terminals take no lone surrogates."""
    record = sweeps.record(0, period=10)
    record = Record(
        **{**vars(record), "status": "failed", "error": "odd \udcff name", "metrics": {}}
    )
    record.overrides.append("note=\ud800")
    store = Store(tmp_path)
    file = store.attach(
        tmp_path / "weights", ".npz", write_weights([record.id], {"w": np.ones((1, 1))})
    )
    store.append([record], {**sweeps.SHARED, "weights": file})
    store.close()
    summary = aggregate([tmp_path], html=True)
    assert "\\udcff" in summary.text()
    assert "\\udcff" in (tmp_path / "results.csv").read_text(encoding="utf-8")
