"""What identifies a run, and which values are refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from dynsweep.config import SETTINGS, RunConfig, flatten, from_flat, identity, replaced
from dynsweep.config.run import settings_of
from dynsweep.engines import group
from dynsweep.errors import ConfigError


def test_round_trip_and_identity(make_run: Callable[..., RunConfig]) -> None:
    run = make_run(width=200, seed=7)
    again = from_flat(flatten(run))
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
    with pytest.raises(ConfigError) as caught:
        from_flat({**flatten(make_run()), setting: value}).check()
    assert caught.value.setting == setting
    text = str(caught.value)
    assert text.startswith(f"{setting}={value}: ")
    assert "\n" not in text


def test_the_identity_holds_what_differs_from_the_defaults(
    make_run: Callable[..., RunConfig],
) -> None:
    run = make_run(
        width=200, amplitude=3.0, optimizer__schedule__name="piecewise",
        optimizer__schedule__milestones=[0.5],
    )  # fmt: skip
    flat = flatten(run)
    # Other orders, whole numbers for real ones, lists for tuples, and no defaults: the same run.
    recorded = json.loads(json.dumps(dict(reversed(flat.items()))))
    assert identity(recorded | {"loss.amplitude": 3}) == run.identity()
    known = settings_of("spirals", "mlp")
    named = ("dataset.name", "model.name")
    short = {k: v for k, v in flat.items() if k in named or v != known[k].default}
    assert len(short) < 8
    assert identity(short) == run.identity()
    # A setting of another version may decide the result, unless it is a place's.
    assert identity(flat | {"loss.new": 1}) != run.identity()
    assert identity(flat | {"observe.new": 1, "engine.new": 2}) == run.identity()
    # The same values of another dataset or model are another run.
    assert identity(flat | {"dataset.name": "cifar10"}) != run.identity()


def test_every_setting_is_declared_with_its_meaning_and_role() -> None:
    for name, setting in SETTINGS.items():
        assert setting.help or name in ("dataset.name", "model.name"), name
        assert setting.name == name
        assert not (setting.batched and not setting.identity), name
    assert [name for name, one in SETTINGS.items() if one.batched] == [
        "loss.period", "loss.amplitude", "optimizer.lr", "optimizer.momentum",
        "optimizer.weight_decay", "seed",
    ]  # fmt: skip


def test_copies_with_other_values(make_run: Callable[..., RunConfig]) -> None:
    run = make_run()
    other = replaced(run, {"loss.period": 7, "optimizer.schedule.milestones": [0.5], "steps": 3})
    assert (other.loss.period, other.steps) == (7, 3)
    assert other.optimizer.schedule.milestones == (0.5,)
    assert run == make_run()
    assert other.model is run.model
    for name in ("loss.perod", "los.period", "loss.period.x", "optimizer.schedule.nam", "x"):
        with pytest.raises(ConfigError, match="no such setting"):
            replaced(run, {name: 1})


def test_flatten() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": None}) == {"a.b.c": 1, "d": None}
