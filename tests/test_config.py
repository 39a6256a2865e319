"""What identifies a run, and which values are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from dynsweep.config import RunConfig, flatten, run_config
from dynsweep.engines import group
from dynsweep.errors import ConfigError


def test_round_trip_and_identity(make_run: Callable[..., RunConfig]) -> None:
    run = make_run(width=200, seed=7)
    again = run_config(asdict(run))
    assert again == run
    assert again.identity() == run.identity()
    for change in ({"seed": 8}, {"width": 201}, {"lr": 0.5}, {"period": 3}, {"noise": 0.1},
                   {"steps": 5}, {"precision": "float64"}, {"init": "glorot"}):  # fmt: skip
        assert make_run(**{"width": 200, "seed": 7, **change}).identity() != run.identity()
    for change in ({"device": "cpu"}, {"save_weights": False}, {"objective": "train_loss"}):
        assert make_run(width=200, seed=7, **change).identity() == run.identity()


def test_runs_that_share_shapes_share_a_batch(make_run: Callable[..., RunConfig]) -> None:
    runs = [
        make_run(),
        make_run(width=200),
        make_run(period=3, amplitude=5.0, lr=0.1, seed=4),
        make_run(steps=10),
        make_run(width=200, seed=1),
    ]
    assert group(runs) == [[0, 2], [1, 4], [3]]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model.width", 0),
        ("loss.amplitude", 0.99),
        ("loss.amplitude", float("nan")),
        ("loss.amplitude", float("inf")),
        ("loss.period", 0),
        ("optimizer.lr", 0.0),
        ("optimizer.lr", -1.0),
        ("optimizer.lr", float("inf")),
        ("optimizer.lr", float("nan")),
        ("dataset.name", "mnist"),
        ("dataset.classes", 1),
        ("dataset.samples_per_class", 0),
        ("dataset.noise", -0.1),
        ("dataset.revolutions", float("nan")),
        ("model.init", "zeros"),
        ("loss.counting", "steps"),
        ("precision", "float16"),
        ("device", "tpu"),
        ("steps", -1),
        ("seed", -1),
        ("engine.name", "warp"),
        ("engine.batch_size", 0),
        ("objective", "loss"),
        ("model.depth", 3),
        ("typo", 3),
    ],
)
def test_bad_values_are_named(
    make_run: Callable[..., RunConfig], setting: str, value: object
) -> None:
    settings = asdict(make_run())
    group_name, _, leaf = setting.rpartition(".")
    (settings[group_name] if group_name else settings)[leaf] = value
    with pytest.raises(ConfigError) as caught:
        run_config(settings)
    assert caught.value.setting == setting
    text = str(caught.value)
    assert text.startswith(f"{setting}={value}: ")
    assert "\n" not in text


def test_flatten() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": None}) == {"a.b.c": 1, "d": None}
