"""Sweeps and runs called from Python, in somebody's interpreter."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra

import dynsweep
from dynsweep.sweep import runner

SMALL: dict[str, Any] = {"steps": 30, "width": 8}


def test_a_call_records_what_the_command_does(tmp_path: Path) -> None:
    before = logging.root.handlers[:], signal.getsignal(signal.SIGINT)
    call: dict[str, Any] = {"amplitude": [1, 9.5], "seed": range(2), **SMALL}
    runs = dynsweep.sweep("period_amplitude", "loss.period=5,10", directory=tmp_path, **call)
    assert runs.shape[0] == 8
    assert set(runs["status"]) == {"completed"}
    assert sorted(runs["amplitude"].unique()) == [1, 9.5]
    pd.testing.assert_frame_equal(runs, dynsweep.load(tmp_path))
    assert len(pd.read_csv(tmp_path / "results.csv")) == 8
    assert (tmp_path / "multirun.yaml").exists()
    assert not list(tmp_path.glob("*.png"))
    # Again, and more: what is there is not trained again.
    call["seed"] = [0, 1, 2]
    more = dynsweep.sweep("period_amplitude", "loss.period=5,10", directory=tmp_path, **call)
    assert len(more) == 12
    assert more["seconds"].isin(runs["seconds"]).sum() == 8
    assert (logging.root.handlers[:], signal.getsignal(signal.SIGINT)) == before
    assert not GlobalHydra.instance().is_initialized()


def test_one_run_comes_with_weights_and_trajectory() -> None:
    trained = dynsweep.train(period=10, observe="metrics", observe__snapshots_every=15, **SMALL)
    assert trained.outcome["status"] == "completed"
    assert 0 <= trained.outcome["train_accuracy"] <= 1
    assert {k: v.shape for k, v in trained.weights.items()} == {
        "w1": (2, 8), "b1": (8,), "w2": (8, 3), "b2": (3,),
    }  # fmt: skip
    assert trained.trajectory["step"].max() == 30
    assert list(trained.snapshots) == [0, 15, 30]
    assert (trained.snapshots[30]["w1"] == trained.weights["w1"]).all()
    again = dynsweep.train("loss.period=10", **SMALL)
    assert (again.weights["w1"] == trained.weights["w1"]).all()
    assert again.trajectory.empty


@pytest.mark.parametrize(
    ("words", "settings", "error"),
    [
        (["nothing"], {}, "sweep=nothing: must be one of "),
        ([], {"steps": -1}, "steps=-1: must be a finite number, at least 0"),
        ([], {"steps": "many"}, "steps=many: must be a whole number"),
        ([], {"perod": 3}, "perod=3: no such setting; did you mean loss.period?"),
        (["loss.perod=3"], {}, "loss.perod=3: no such setting; did you mean period?"),
        ([], {"seed": []}, "seed=[]: a grid with no points"),
        ([], {"model": "myrtle5"}, "model=myrtle5: takes images"),
        ([3], {}, "overrides=3: must be text"),
        ([], {"dataset__inputs": ["a"]}, "dataset.inputs=[a]: a setting of dataset=table alone"),
    ],
)
def test_what_is_wrong_raises_one_line_and_leaves_nothing(
    words: list[Any], settings: dict[str, Any], error: str, tmp_path: Path
) -> None:
    place = tmp_path / "out"
    with pytest.raises(dynsweep.ConfigError) as refused:
        dynsweep.sweep(*words, directory=place, **settings)
    assert str(refused.value).startswith(error)
    assert "\n" not in str(refused.value)
    assert not place.exists()
    assert isinstance(refused.value, ValueError)


def test_a_program_with_hydra_keeps_its_own() -> None:
    with initialize_config_module("dynsweep.conf", version_base="1.3"):
        own = GlobalHydra.instance().hydra
        assert dynsweep.train(**SMALL).outcome["status"] == "completed"
        assert GlobalHydra.instance().hydra is own
        assert compose("config")["steps"] == 35000


def test_train_takes_one_run() -> None:
    with pytest.raises(dynsweep.ConfigError, match="several values; take sweep"):
        dynsweep.train(seed=[0, 1])
    with pytest.raises(dynsweep.ConfigError, match="is a grid; take sweep"):
        dynsweep.train("+sweep=period_amplitude")


def test_the_function_is_not_its_folder() -> None:
    assert runner.__name__ == "dynsweep.sweep.runner"
    assert callable(dynsweep.sweep)
    assert "directory" in inspect.signature(dynsweep.sweep).parameters
    for words in ("(inputs, width)", "steps"):
        assert words in f"{inspect.getdoc(dynsweep.sweep)} {dynsweep.interactive.Trained.__doc__}"


@pytest.mark.slow
def test_an_interrupted_call_goes_on_when_it_is_called_again(tmp_path: Path) -> None:
    call: dict[str, Any] = {"seed": range(12), "steps": 40_000, "directory": tmp_path}

    def interrupt() -> None:
        """When the first batch is recorded."""
        while not list(tmp_path.glob("runs/*.jsonl")):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        dynsweep.sweep(engine__batch_size=2, engine__threads=1, **call)
    assert 0 < len(dynsweep.load(tmp_path)) < 12
    runs = dynsweep.sweep(engine__batch_size=2, engine__threads=1, **call)
    assert len(runs) == 12
    assert set(runs["status"]) == {"completed"}
