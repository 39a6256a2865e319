"""Sweeps without Hydra: what is missing is trained, failures stay alone, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dynsweep.analysis.frame import load_frame
from dynsweep.config import RunConfig
from dynsweep.errors import ConfigError
from dynsweep.launchers.jobs import Job
from dynsweep.store.records import load_weights, read
from dynsweep.store.trajectories import load_trajectories
from dynsweep.sweep import runner as sweep
from dynsweep.sweep.outcomes import RunFailed
from dynsweep.training import driver as training
from dynsweep.training import observers

Make = Callable[..., RunConfig]


@pytest.fixture
def jobs(make_run: Make) -> Callable[..., list[Job]]:
    def make(seeds: int = 6, **settings: Any) -> list[Job]:
        settings = {"steps": 30, "width": 8, "engine": reference(), **settings}
        runs = [make_run(seed=seed, **settings) for seed in range(seeds)]
        return [Job(i, [f"seed={i}"], asdict(run)) for i, run in enumerate(runs)]

    return make


def reference(**settings: Any) -> Any:
    from dynsweep.config import EngineConfig

    return EngineConfig(name="reference", **settings)


Jobs = Callable[..., list[Job]]


def test_results_are_those_of_lone_runs(jobs: Jobs, tmp_path: Path) -> None:
    values = sweep.run_jobs(jobs(), tmp_path / "all")
    frame = load_frame([tmp_path / "all"])
    assert frame["validation_accuracy"].tolist() == values
    assert frame["number"].tolist() == list(range(6))
    assert (frame["status"] == "completed").all()
    for i, job in enumerate(jobs()):
        assert sweep.run_jobs([job], tmp_path / f"{i}") == [values[i]]
        row = frame.iloc[i]
        both = (
            load_weights(tmp_path / "all", row["weights"], row["id"]),
            load_weights(tmp_path / f"{i}", next(read(tmp_path / f"{i}"))["weights"], row["id"]),
        )
        assert all(np.array_equal(both[0][name], both[1][name]) for name in both[0])


def test_only_what_is_missing_is_trained(jobs: Jobs, tmp_path: Path) -> None:
    grid = jobs()
    first = sweep.run_jobs(grid[:4], tmp_path)
    before = list(read(tmp_path))
    again = sweep.run_jobs(grid, tmp_path)
    assert again[:4] == first
    after = list(read(tmp_path))
    assert after[:4] == before
    assert len(after) == 6
    # Equal settings are one run, whatever their job number or overrides.
    twice = [Job(10 + i, [], job.config) for i, job in enumerate(grid + grid)]
    assert sweep.run_jobs(twice, tmp_path) == again + again
    assert len(list(read(tmp_path))) == 6


def test_a_failing_run_is_recorded_and_the_others_go_on(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        values = sweep.run_jobs(jobs(), tmp_path)
    assert isinstance(values[3], RunFailed)
    frame = load_frame([tmp_path]).set_index("seed")
    assert frame["status"].to_dict() == {i: "failed" if i == 3 else "completed" for i in range(6)}
    assert frame.loc[3, "error"] == "RuntimeError: no weights for seed 3"
    # Without a retry the failure stands; by default it is tried again, and now succeeds.
    kept = sweep.run_jobs(jobs(retry_failed=False), tmp_path)
    assert isinstance(kept[3], RunFailed)
    healed = sweep.run_jobs(jobs(), tmp_path)
    assert healed[:3] + healed[4:] == values[:3] + values[4:]
    assert (load_frame([tmp_path])["status"] == "completed").all()


def test_out_of_memory_halves_the_batch(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    train = training.train

    def tight(batch: Any, *others: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise MemoryError
        return train(batch, *others)

    monkeypatch.setattr(sweep, "train", tight)
    sweep.run_jobs(jobs(seeds=16, engine=reference(batch_size=8)), tmp_path)
    assert (load_frame([tmp_path])["status"] == "completed").all()
    assert sizes[:7] == [8, 4, 2, 2, 4, 2, 2]
    assert max(sizes[7:]) <= 2  # the lesson is kept


def test_a_diverged_run_is_a_result(jobs: Jobs, tmp_path: Path) -> None:
    grid = jobs(seeds=1, lr=1e30) + jobs(seeds=1)
    values = sweep.run_jobs(grid, tmp_path)
    assert values[0] == 0.0
    assert load_frame([tmp_path])["status"].tolist() == ["diverged", "completed"]
    sweep.run_jobs(grid, tmp_path)
    assert len(list(read(tmp_path))) == 2  # and is not trained again


def test_nothing_is_trained_if_any_job_is_bad(jobs: Jobs, tmp_path: Path) -> None:
    grid = jobs()
    grid[-1].config["loss"]["amplitude"] = 0.5
    with pytest.raises(ConfigError, match=r"loss\.amplitude=0\.5"):
        sweep.run_jobs(grid, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [("linear", [0, 8, 15, 22, 30]), ("log", [0, 1, 5, 12, 30])],
)
def test_trajectories(
    jobs: Jobs, make_run: Make, tmp_path: Path, spacing: str, expected: list[int]
) -> None:
    from dynsweep.config import ObserveConfig

    sweep.run_jobs(jobs(observe=ObserveConfig(5, spacing)), tmp_path / "a")
    sweep.run_jobs(jobs(), tmp_path / "b")
    trajectory, frame = load_trajectories(tmp_path / "a"), load_frame([tmp_path / "a"])
    assert sorted(set(trajectory["step"])) == expected
    assert len(trajectory) == 6 * 5
    last = trajectory[trajectory["step"] == 30].set_index("id")["train_loss"]
    assert last[frame["id"]].tolist() == pytest.approx(frame["train_loss"].tolist(), rel=1e-8)
    # Looking changes nothing.
    plain = load_frame([tmp_path / "b"])
    assert plain["train_loss"].tolist() == frame["train_loss"].tolist()


def test_records_share_steps_where_they_would_coincide() -> None:
    from dynsweep.config import ObserveConfig

    assert observers.record_steps(ObserveConfig(0), 100) == []
    assert observers.record_steps(ObserveConfig(1), 100) == [0, 100]
    assert observers.record_steps(ObserveConfig(50), 3) == [0, 1, 2, 3]
    assert observers.record_steps(ObserveConfig(4, "log"), 7) == [0, 1, 3, 7]
    assert observers.record_steps(ObserveConfig(4), 0) == [0]
