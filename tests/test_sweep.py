"""Sweeps without Hydra: what is missing is trained, failures stay alone, nothing is lost."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dynsweep.analysis.frame import load_frame
from dynsweep.config import EngineConfig, ObserveConfig, Run, RunConfig, replaced
from dynsweep.errors import ConfigError, DynsweepError, RunFailed
from dynsweep.store import load_snapshots, load_trajectories, load_weights, read
from dynsweep.sweep import runner as sweep
from dynsweep.sweep.outcomes import Outcomes
from dynsweep.sweep.runner import run_sweep
from dynsweep.training import driver, observers

Make = Callable[..., RunConfig]
Runs = Callable[..., list[Run]]
OLD = Path(__file__).parent / "assets" / "sweep_format_1"


def reference(**settings: Any) -> EngineConfig:
    return EngineConfig(name="reference", **settings)


@pytest.fixture
def runs(make_run: Make) -> Runs:
    def make(seeds: int = 6, **settings: Any) -> list[Run]:
        settings = {"steps": 30, "width": 8, "engine": reference(), **settings}
        return [
            Run(seed, [f"seed={seed}"], make_run(seed=seed, **settings)) for seed in range(seeds)
        ]

    return make


def test_results_are_those_of_lone_runs(runs: Runs, tmp_path: Path) -> None:
    values = run_sweep(runs(), tmp_path / "all")
    frame = load_frame([tmp_path / "all"])
    assert frame["validation_accuracy"].tolist() == values
    assert frame["number"].tolist() == list(range(6))
    assert (frame["status"] == "completed").all()
    for i, run in enumerate(runs()):
        assert run_sweep([run], tmp_path / f"{i}") == [values[i]]
        row = frame.iloc[i]
        both = (
            load_weights(tmp_path / "all", row["weights"])[row["id"]],
            load_weights(tmp_path / f"{i}", next(read(tmp_path / f"{i}"))["weights"])[row["id"]],
        )
        assert all(np.array_equal(both[0][name], both[1][name]) for name in both[0])


def test_only_what_is_missing_is_trained(runs: Runs, tmp_path: Path) -> None:
    grid = runs()
    first = run_sweep(grid[:4], tmp_path)
    before = list(read(tmp_path))
    again = run_sweep(grid, tmp_path)
    assert again[:4] == first
    after = list(read(tmp_path))
    assert after[:4] == before
    assert len(after) == 6
    # Equal settings are one run, whatever their job number or overrides.
    twice = [Run(10 + i, [], run.settings) for i, run in enumerate(grid + grid)]
    assert run_sweep(twice, tmp_path) == again + again
    assert len(list(read(tmp_path))) == 6


def test_a_failing_run_is_recorded_and_the_others_go_on(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 3 cannot be drawn; it shares its batch with all others."""
    from dynsweep.models.mlp import MLP

    draw = MLP.init

    def broken(self: MLP, seed: int) -> Any:
        if seed == 3:
            raise RuntimeError("no weights\nfor seed 3")
        return draw(self, seed)

    with monkeypatch.context() as patch:
        patch.setattr(MLP, "init", broken)
        values = run_sweep(runs(), tmp_path)
    assert isinstance(values[3], RunFailed)
    frame = load_frame([tmp_path]).set_index("seed")
    assert frame["status"].to_dict() == {i: "failed" if i == 3 else "completed" for i in range(6)}
    assert frame.loc[3, "error"] == "RuntimeError: no weights for seed 3"
    # Without a retry the failure stands; by default it is tried again, and now succeeds.
    kept = run_sweep(runs(retry_failed=False), tmp_path)
    assert isinstance(kept[3], RunFailed)
    healed = run_sweep(runs(), tmp_path)
    assert healed[:3] + healed[4:] == values[:3] + values[4:]
    assert (load_frame([tmp_path])["status"] == "completed").all()


def test_out_of_memory_halves_the_batch(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    train = driver.train

    def tight(batch: Any, *others: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise MemoryError
        return train(batch, *others)

    monkeypatch.setattr(sweep, "train", tight)
    run_sweep(runs(seeds=16, engine=reference(batch_size=8)), tmp_path)
    assert (load_frame([tmp_path])["status"] == "completed").all()
    assert sizes[:7] == [8, 4, 2, 2, 4, 2, 2]
    assert max(sizes[7:]) <= 2  # the lesson is kept


def test_a_diverged_run_is_a_result(runs: Runs, tmp_path: Path) -> None:
    grid = runs(seeds=1, lr=1e30) + runs(seeds=1)
    values = run_sweep(grid, tmp_path)
    assert values[0] == 0.0
    assert load_frame([tmp_path])["status"].tolist() == ["diverged", "completed"]
    run_sweep(grid, tmp_path)
    assert len(list(read(tmp_path))) == 2  # and is not trained again


def test_nothing_is_trained_if_any_run_is_bad(runs: Runs, tmp_path: Path) -> None:
    grid = runs()
    bad = replaced(grid[-1].settings, {"loss.amplitude": 0.5})
    grid.append(replace(grid[-1], settings=bad))
    with pytest.raises(ConfigError, match=r"loss\.amplitude=0\.5"):
        run_sweep(grid, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [("linear", [0, 8, 15, 22, 30]), ("log", [0, 1, 5, 12, 30])],
)
def test_trajectories(
    runs: Runs, make_run: Make, tmp_path: Path, spacing: str, expected: list[int]
) -> None:
    run_sweep(runs(observe=ObserveConfig(5, spacing)), tmp_path / "a")
    run_sweep(runs(), tmp_path / "b")
    trajectory, frame = load_trajectories(tmp_path / "a"), load_frame([tmp_path / "a"])
    assert sorted(set(trajectory["step"])) == expected
    assert len(trajectory) == 6 * 5
    last = trajectory[trajectory["step"] == 30].set_index("id")["train_loss"]
    assert last[frame["id"]].tolist() == pytest.approx(frame["train_loss"].tolist(), rel=1e-8)
    # Looking changes nothing.
    plain = load_frame([tmp_path / "b"])
    assert plain["train_loss"].tolist() == frame["train_loss"].tolist()


def test_records_share_steps_where_they_would_coincide() -> None:
    assert observers.record_steps(ObserveConfig(0), 100) == []
    assert observers.record_steps(ObserveConfig(1), 100) == [0, 100]
    assert observers.record_steps(ObserveConfig(50), 3) == [0, 1, 2, 3]
    assert observers.record_steps(ObserveConfig(4, "log"), 7) == [0, 1, 3, 7]
    assert observers.record_steps(ObserveConfig(4), 0) == [0]


def test_static_runs_that_differ_in_nothing_are_trained_once_and_recorded_for_each(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = itertools.product((1.0, 5.0), (5, 9), (0.0, 0.5))
    names = ("loss.amplitude", "loss.period", "loss.static_end")
    settings = [
        replaced(run.settings, dict(zip(names, change, strict=True)))
        for change in changes
        for run in runs(2, observe=ObserveConfig(3, snapshots_every=15))
    ]
    grid = [Run(number, [], one) for number, one in enumerate(settings)]
    trained: list[RunConfig] = []
    train = driver.train

    def counted(batch: Any, *others: Any) -> Any:
        trained.extend(batch.runs)
        return train(batch, *others)

    monkeypatch.setattr(sweep, "train", counted)
    values = run_sweep(grid, tmp_path / "grid")
    assert sum(run.loss.amplitude == 1 for run in trained) == 2
    assert len(trained) == 2 + 2 * 4
    records = {entry["number"]: entry for entry in read(tmp_path / "grid")}
    trajectories = load_trajectories(tmp_path / "grid")
    for number, run in enumerate(grid):
        place, record = tmp_path / f"{number}", records[number]
        assert run_sweep([run], place) == [values[number]]
        (alone,) = read(place)
        assert record["config"] == alone["config"]
        assert record["id"] == alone["id"] == run.settings.identity()
        own = load_weights(place, alone["weights"])[alone["id"]]
        for name, weight in load_weights(tmp_path / "grid", record["weights"])[
            alone["id"]
        ].items():
            assert np.array_equal(weight, own[name])
        own = load_snapshots(place, alone["snapshots"], alone["id"])[15]
        both = load_snapshots(tmp_path / "grid", record["snapshots"], alone["id"])[15]
        assert all(np.array_equal(both[name], own[name]) for name in own)
        ours = trajectories[trajectories["id"] == record["id"]].reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, load_trajectories(place))
    # Another period of the static loss is known from none of these.
    assert run_sweep(grid, tmp_path / "grid") == values
    assert len(list(read(tmp_path / "grid"))) == len(grid)


def test_a_directory_of_the_first_format_goes_on(make_run: Make, tmp_path: Path) -> None:
    """Made by the version before identities left out defaults: nothing is trained again."""
    directory = tmp_path / "old"
    shutil.copytree(OLD, directory)
    before = pd.read_csv(OLD / "results.csv")
    finished = before[before["status"] == "completed"]
    grid = [
        Run(number, [], make_run(
            period=int(row["period"]), amplitude=float(row["amplitude"]), width=8, steps=60,
            engine=reference(), observe=ObserveConfig(4),
        ))
        for number, (_, row) in enumerate(finished.iterrows())
    ]  # fmt: skip
    assert len(grid) == 4
    files = {path.name: path.read_bytes() for path in (directory / "runs").iterdir()}
    values = run_sweep(grid, directory)
    assert values == finished["validation_accuracy"].tolist()
    assert {p.name: p.read_bytes() for p in (directory / "runs").iterdir()} == files
    # What is added stands beside it, and all of it reads as one.
    more = Run(9, [], replace(grid[0].settings, seed=1))
    run_sweep([*grid, more], directory)
    frame = load_frame([directory])
    assert len(frame) == len(before) + 1
    assert frame["status"].tolist().count("failed") == 1
    old = frame[frame["seed"] == 0].dropna(subset=["weights"])
    for _, row in old.iterrows():
        assert load_weights(directory, row["weights"])[row["id"]]["w1"].shape == (2, 8)
    assert set(old["id"]) <= set(load_trajectories(directory)["id"])


def test_a_directory_of_a_later_format_is_refused_in_a_line(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    line = '{"batch":{"format":4,"config":{}}}\n'
    (tmp_path / "runs" / "x.jsonl").write_text(line)
    with pytest.raises(DynsweepError, match="written by a newer dynsweep"):
        run_sweep(runs(), tmp_path)


def test_what_another_process_observed_meanwhile_is_there(runs: Runs, tmp_path: Path) -> None:
    observed = runs(2, observe=ObserveConfig(records=3))
    run_sweep(observed[:1], tmp_path)
    outcomes = Outcomes(observed, tmp_path)
    assert outcomes.missing() == [1]
    run_sweep(observed, tmp_path)
    outcomes.refresh()
    assert outcomes.missing() == []
    # A file that is gone is missed.
    for path in (tmp_path / "trajectories").iterdir():
        path.unlink()
    assert Outcomes(observed, tmp_path).missing() == [0, 1]
    assert Outcomes(runs(2), tmp_path).missing() == []
