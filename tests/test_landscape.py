"""The valley along a direction: profiles with known measures, and those of real runs."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT
from PIL import Image
from runs import make_run

from dynsweep.analysis.valleys import correlations
from dynsweep.cli.trajectory_command import main
from dynsweep.config import LandscapeConfig, ObserveConfig, RunConfig
from dynsweep.curvature.landscape import Valley, oriented, places, valley
from dynsweep.data import load
from dynsweep.engines import choose
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.errors import Preempted
from dynsweep.models.module import OwnModelConfig
from dynsweep.store import load_trajectories
from dynsweep.training.driver import Checkpoint, Outcome, train

A = places(1.0, 20)
HEIGHT = 0.05


def measured(*profiles: np.ndarray) -> Valley:
    return valley(A, np.array(profiles)[:, None], HEIGHT)


@pytest.mark.parametrize("position", [0.0, 0.0123, -0.31, 0.5])
@pytest.mark.parametrize("curvature", [0.9, 2.0, 40.0])
def test_a_quadratic_has_its_own_measures(position: float, curvature: float) -> None:
    whole = 0.7 + curvature / 2 * (A - position) ** 2
    found = measured(whole)
    expected = {
        "position": position,
        "floor": 0.7,
        "tilt": 0.0,
        "width": 2 * np.sqrt(2 * HEIGHT / curvature),
        "depth": curvature / 2 * (1 - abs(position)) ** 2,
        "curvature": curvature,
    }
    for name, values in found._asdict().items():
        np.testing.assert_allclose(values, [[expected[name]]], atol=1e-10, err_msg=name)


def test_parts_of_a_quadratic_add_up() -> None:
    """Each part alone falls all the way; without their tilts they are valleys at one place."""
    one, other = 0.3 + 0.9 * A + 0.2 * A**2, 0.4 - 0.8 * A + 0.6 * A**2
    found = measured(one + other, one, other)
    position = -0.1 / 1.6
    np.testing.assert_allclose(found.position, [[position]] * 3)
    for values in (found.floor, found.tilt, found.curvature):
        np.testing.assert_allclose(values[0], values[1] + values[2], atol=1e-12)
    np.testing.assert_allclose(found.curvature[:, 0], [1.6, 0.4, 1.2])
    np.testing.assert_allclose(found.tilt[1], 0.9 + 0.4 * position)
    np.testing.assert_allclose(found.width[:, 0], 2 * np.sqrt(2 * HEIGHT / found.curvature[:, 0]))


def test_what_is_not_there_is_missing() -> None:
    falling, flat, shallow = -A, 0 * A, 0.01 * A**2
    for profile in (falling, flat, np.where(A > 0.5, np.nan, A**2)):
        assert np.isnan(measured(profile)).all()
    assert np.isnan(measured(shallow).width).all()
    assert measured(shallow).curvature == pytest.approx(0.02)


def test_the_loss_of_the_emphasised_classes_falls_where_a_grows() -> None:
    whole, nothing = (A + 0.3) ** 2, np.full_like(A, np.nan)
    profiles = np.stack([[whole, whole, whole], [A, -A, nothing], [whole - A, whole + A, nothing]])
    turned = oriented(profiles)
    np.testing.assert_array_equal(turned[1, :2], [-A, -A])
    np.testing.assert_array_equal(turned[0], [whole[::-1], whole, whole[::-1]])
    np.testing.assert_allclose(turned[0, :2], (turned[1] + turned[2])[:2], atol=1e-12)


SHORT = {"steps": 40, "period": 15, "samples_per_class": 10, "precision": "float64"}


def observed(run: RunConfig, **landscape: Any) -> RunConfig:
    wanted = LandscapeConfig(every=5, points=20, **landscape)
    return replace(run, observe=ObserveConfig(landscape=wanted))


def columns(outcome: Outcome) -> dict[str, np.ndarray]:
    """What was recorded of landscapes, each ``(records, runs)``."""
    names = [name for name in outcome.trajectory.names if name[:7] in ("valley_", "profile")]
    return {name: outcome.trajectory.column(name)[1] for name in names}


def test_a_loss_that_is_quadratic_in_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A linear model with squared errors, whose Hessian does not depend on the weights."""
    (tmp_path / "flat_net.py").write_text(
        "from torch import nn\ndef linear(shape, classes, width): return nn.Linear(2, classes)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = make_run(loss__name="mean_squared_error", amplitude=5, lr=0.5, **SHORT)
    run = replace(run, model=OwnModelConfig(_target_="flat_net.linear").resolved())
    run = observed(run, height=0.03, reach=3.0)
    batch = Batch((run, replace(run, seed=1)))
    outcome = train(batch, choose(run, "cpu"), "cpu")
    found, data = columns(outcome), load(run.dataset)
    steps = outcome.trajectory.column("valley_floor")[0]
    inputs = np.pad(data.train_inputs, [(0, 0), (0, 1)], constant_values=1)
    for k, step in enumerate(steps):
        g, dynamical = np.ones(3), step < run.steps - 15
        if dynamical:
            g[step // 15 % 3] += 4 * (1 - abs(2 * (step % 15) / 15 - 1))
        of_sample = (3 * g / g.sum())[data.train_labels] / len(inputs)
        hessian = 2 / 3 * (inputs * of_sample[:, None]).T @ inputs
        curvature = np.linalg.eigvalsh(hessian)[-1]
        np.testing.assert_allclose(found["valley_curvature"][k], curvature, rtol=1e-4)
        np.testing.assert_allclose(found["valley_sharpness"][k], curvature, rtol=1e-4)
        width = 2 * np.sqrt(2 * 0.03 / curvature)
        np.testing.assert_allclose(found["valley_width"][k], width, rtol=1e-4)
        now = found["profile_20"][k]
        below = found["valley_curvature"][k] / 2 * found["valley_position"][k] ** 2
        np.testing.assert_allclose(found["valley_floor"][k], now - below, rtol=1e-9)
        assert np.isfinite(found["valley_floor_emphasised"][k]).all() == dynamical
        random = found["valley_curvature_random"][k]
        assert ((random > 0) & (random < curvature)).all()
    assert (found["valley_position"] != 0).any()


def test_engines_agree_and_observing_changes_nothing() -> None:
    run = make_run(width=20, **SHORT)
    batch = Batch(
        (observed(run), observed(replace(run, seed=1, loss=replace(run.loss, amplitude=1.0))))
    )
    fast, slow = train(batch, choose(run, "cpu"), "cpu"), train(batch, ReferenceEngine(), "cpu")
    seen, expected = columns(fast), columns(slow)
    assert len(seen) == 1 + 4 * 5 + 4 * 41
    for name, values in expected.items():
        np.testing.assert_allclose(seen[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    alone = columns(train(Batch(batch.runs[:1]), choose(run, "cpu"), "cpu"))
    np.testing.assert_array_equal(
        alone["valley_width_random"][:, 0], seen["valley_width_random"][:, 0]
    )
    assert np.isnan(seen["valley_tilt_others"][:, 1]).all()  # the static run
    plain = train(Batch((run,)), choose(run, "cpu"), "cpu")
    for name, values in plain.weights.items():
        np.testing.assert_array_equal(fast.weights[name][:1], values)


def test_a_resumed_run_records_the_same(tmp_path: Path) -> None:
    run = observed(make_run(width=8, **{**SHORT, "precision": "float32"}))
    engine = choose(run, "cpu")
    whole = columns(train(Batch((run,)), engine, "cpu"))

    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path, ["a"], engine.name, 0)

    for _ in range(2):
        with pytest.raises(Preempted):
            train(Batch((run,)), engine, "cpu", checkpoint=checkpoint(), stop=lambda: True)
    resumed = columns(train(Batch((run,)), engine, "cpu", checkpoint=checkpoint()))
    assert resumed.keys() == whole.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sweep")
    grid = ["-m", "model.width=8", "seed=0,1", "steps=160", "loss.period=40", "report=false",
            "observe=landscape", "observe.landscape.every=10", "observe.landscape.points=10",
            "dataset.samples_per_class=10", "hydra.sweep.dir=out"]  # fmt: skip
    subprocess.run([*COMMAND, *grid], cwd=place, env=ENVIRONMENT, check=True)
    return place / "out"


@pytest.mark.slow
def test_the_command_draws_valleys(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(sweep), "--run", "seed=1"])
    text = capsys.readouterr().out
    assert "H = 8: floor and width of the valley have the rank correlation" in text
    drawn = {path.name for path in sweep.iterdir()}
    for name in ("valley_profiles", "valley_profiles_random", "valley_depths"):
        assert {f"{name}_seed1.png", f"{name}_seed1.pdf"} <= drawn
    with Image.open(sweep / "valley_seed1.gif") as moving:
        assert moving.n_frames == 4
    assert (sweep / "valley_seed1.gif").stat().st_size < 1e6
    table = pd.read_csv(sweep / "valleys.csv")
    assert len(table) == 2 * 17
    assert table.groupby("seed")["cycle"].nunique().tolist() == [3, 3]  # the last one is static
    found = pd.read_csv(sweep / "valley_correlations.csv")
    assert found["of"].tolist() == [
        "all classes", "emphasised classes", "other classes", "random direction"
    ]  # fmt: skip
    assert found["within"].between(-1, 1).all()


def test_correlations_take_the_seed_as_the_unit() -> None:
    """Two seeds whose valleys are deep where wide within cycles, and the reverse over cycles."""
    rows = [
        {"run_width": 10, "lr": 1, "period": 4, "amplitude": 5, "seed": seed, "id": str(seed),
         "cycle": cycle, "valley_floor": 3.0 * cycle - s, "valley_width": 3.0 * cycle + s + turn,
         "valley_depth": float(s + turn)}
        for seed in (0, 1) for cycle in range(4) for s in range(4)
        for turn in [2 * (seed == 1 and s == 0)]
    ]  # fmt: skip
    (row,) = correlations(pd.DataFrame(rows)).to_dict("records")
    assert row["seeds"] == 2
    second = np.corrcoef([3, 2, 1, 0], [2.5, 1, 2.5, 4])[0, 1]
    assert row["within"] == pytest.approx((-1 + second) / 2)
    assert row["within_se"] == pytest.approx((second + 1) / 2)
    assert (row["between"], row["rims"]) == pytest.approx((1, 1))


@pytest.mark.slow
def test_a_finer_landscape_is_recorded_again_and_a_static_one_has_no_cycle(tmp_path: Path) -> None:
    grid = ["model.width=8", "steps=20", "loss.amplitude=1", "observe=landscape", "report=false",
            "observe.landscape.points=5", "hydra.run.dir=out"]  # fmt: skip
    for every, records in ((10, 3), (5, 5)):
        command = [*COMMAND, *grid, f"observe.landscape.every={every}"]
        subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=True)
        table = load_trajectories(tmp_path / "out")
        assert table["valley_width"].notna().sum() == records
    main([str(tmp_path / "out")])
    assert not list((tmp_path / "out").glob("valley*.gif"))
