"""The examples of docs/extending.md, in a folder outside the repository."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dynsweep as package
from dynsweep.analysis.decisions import drawable, predictor, recorded_settings
from dynsweep.analysis.frame import load_runs
from dynsweep.config import RunConfig
from dynsweep.config.intent import resolved
from dynsweep.errors import ConfigError
from dynsweep.models.module import OwnModelConfig
from dynsweep.store import load_weights

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]
TEXT = (Path(__file__).resolve().parent.parent / "docs" / "extending.md").read_text()
EXAMPLES = dict(
    re.findall(r"<!-- example: (\w+) -->\n(.*?)(?=\n##|\n<!-- example|\Z)", TEXT, re.S)
)
SMALL: dict[str, Any] = {"steps": 40, "width": 8, "period": 10, "engine__threads": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """All examples together; what they import is forgotten afterwards."""
    for text in EXAMPLES.values():
        for body in re.findall(r"^```(?:python|yaml)\n(.*?)^```", text, re.M | re.S):
            first, rest = body.split("\n", 1)
            path = tmp_path / first.removeprefix("# ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(rest)
    before = sys.path[:]
    yield tmp_path
    sys.path[:] = before
    for name in ("moons", "waves", "nets"):
        sys.modules.pop(name, None)


def train(folder: Path, **settings: Any) -> package.interactive.Trained:
    return package.train(config_dir=folder, **{**SMALL, **settings})


def test_a_dataset(folder: Path) -> None:
    trained = train(folder, dataset="moons", dataset__settings__noise=0.3)
    assert trained.outcome["status"] == "completed"
    assert trained.outcome["dataset"] == "two_moons"
    assert trained.outcome["dataset.settings.noise"] == 0.3
    assert trained.outcome["engine"] == "compiled"
    other = train(folder, dataset="moons")
    assert other.outcome["train_loss"] != trained.outcome["train_loss"]


def test_a_schedule(folder: Path) -> None:
    own = train(folder, loss="bursts", loss__settings__part=0.5, observe__loss_every=1)
    assert own.outcome["engine"] == "compiled"
    assert own.outcome["loss.shape"] == "own"
    weights = own.trajectory.set_index("step")[["weight_0", "weight_1", "weight_2"]]
    np.testing.assert_allclose(weights.sum(axis=1), 3, rtol=1e-6)
    # A = 20 for the first half of a cycle: 3 * 20 / 22; the last T is static.
    np.testing.assert_allclose(weights.loc[4], [60 / 22, 3 / 22, 3 / 22], rtol=1e-6)
    np.testing.assert_allclose(weights.loc[12], [3 / 22, 60 / 22, 3 / 22], rtol=1e-6)
    assert (weights.loc[[5, 9, 31, 40]] == 1).all(axis=None)
    reference = train(folder, loss="bursts", engine="reference", precision="float64")
    np.testing.assert_allclose(own.weights["w1"], reference.weights["w1"], atol=1e-4)


def test_a_model(folder: Path) -> None:
    trained = train(folder, model="deep", observe__snapshots_every=40)
    assert trained.outcome["model"] == "deep"
    assert trained.outcome["engine"] == "reference"
    shapes = {name: value.shape for name, value in trained.weights.items()}
    assert shapes["1.weight"] == (8, 2)
    assert shapes["5.weight"] == (3, 8)
    again = train(folder, model="deep")
    assert all((again.weights[name] == value).all() for name, value in trained.weights.items())
    other = train(folder, model="deep", seed=1)
    assert (other.weights["1.weight"] != trained.weights["1.weight"]).all()


def test_a_module_is_trained_as_the_same_model_of_the_package(folder: Path) -> None:
    """From the same weights, the same logits for several runs at once."""
    import torch

    sys.path.append(str(folder))
    config = OwnModelConfig(_target_="nets.deep", width=8).resolved()
    model = config.build((2,), 3)
    drawn = [model.init(seed) for seed in range(3)]
    params = {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}
    inputs = torch.randn(3, 5, 2, dtype=torch.float64)
    logits = model.forward(params, inputs, {}, True)
    by_hand = inputs
    for layer, last in (("1", False), ("3", False), ("5", True)):
        weight, bias = params[f"{layer}.weight"], params[f"{layer}.bias"]
        by_hand = by_hand @ weight.mT + bias[:, None]
        by_hand = by_hand if last else by_hand.relu()
    torch.testing.assert_close(logits, by_hand)
    assert model.size == 8 * 2 + 8 + 8 * 8 + 8 + 8 * 3 + 3
    assert model.footprint >= 8 + 8 + 8 + 8 + 3


def test_batch_norm_keeps_its_means(folder: Path) -> None:
    (folder / "nets.py").write_text(
        "from torch import nn\n"
        "def deep(shape, classes, width, layers):\n"
        "    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.ReLU(),\n"
        "                         nn.Linear(width, classes))\n"
    )
    trained = train(folder, model="deep")
    assert trained.outcome["status"] == "completed"
    assert (trained.weights["1.running_mean"] != 0).all()
    assert trained.weights["1.num_batches_tracked"] == 40


def test_a_run_is_known_by_name_settings_and_source(folder: Path) -> None:
    sys.path.append(str(folder))

    def identity(**settings: Any) -> str:
        config = OwnModelConfig(_target_="nets.deep", **settings)
        return resolved(RunConfig(model=config)).identity()

    first = identity()
    assert identity(title="another name") == first
    assert identity(settings=package.own.Settings(layers=1)) != first
    source = (folder / "nets.py").read_text()
    (folder / "nets.py").write_text(source.replace("nn.ReLU()", "nn.Tanh()"))
    assert identity() != first  # and what runs is the new code
    assert "Tanh" in str(OwnModelConfig(_target_="nets.deep").build((2,), 3).template)
    (folder / "nets.py").write_text(source)
    assert identity() == first


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"dataset__settings__nois": 1}, "no such setting; did you mean noise? allowed in datas"),
        ({"dataset___target_": "moon.two"}, "_target_=moon.two: no module moon; it is looked for"),
        ({"dataset___target_": "moons.three"}, "the module moons has no callable three; it has t"),
        ({"dataset___target_": "moons"}, "must name a callable, as in module.function"),
        ({"dataset___target_": "os.getcwd"}, "has no source file to be known by"),
        ({"dataset___target_": "bad.syntax"}, "raised SyntaxError: "),
        (
            {"dataset___target_": "odd.raises"},
            "raised ZeroDivisionError: division by zero (odd",
        ),
        ({"dataset___target_": "odd.three"}, "must return training inputs and labels, validation"),
        ({"dataset___target_": "odd.short"}, "its training set: labels must be 3 whole numbers"),
        ({"dataset___target_": "odd.empty"}, "class 1 of 2 has no training samples"),
        ({"model": "deep", "model___target_": "odd.nothing"}, "a torch.nn.Module is wanted, not "),
        (
            {"model": "deep", "model___target_": "odd.wide"},
            "its logits have the shape (2, 7) ",
        ),
        ({"loss": "bursts", "loss___target_": "odd.flat"}, "class weights have the shape (20,), "),
        (
            {"loss": "bursts", "loss___target_": "odd.zero"},
            "class weights must be finite and ",
        ),
        ({"loss__shape": "own"}, "loss.shape=own: needs loss._target_=module.function"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(
    settings: dict[str, Any], error: str, folder: Path
) -> None:
    (folder / "bad.py").write_text("def syntax(:\n")
    (folder / "odd.py").write_text(
        "import numpy as np\nfrom torch import nn\n"
        "def raises(**_): return 1 / 0\n"
        "def three(**_): return 1, 2, 3\n"
        "def short(**_): return np.ones((3, 2)), [0, 1], np.ones((2, 2)), [0, 1]\n"
        "def empty(**_): return np.ones((3, 2)), [0, 0, 0], np.ones((2, 2)), [0, 1]\n"
        "def nothing(*_, **__): return None\n"
        "def wide(*_, **__): return nn.Linear(2, 7)\n"
        "def flat(step, **_): return np.ones(len(step))\n"
        "def zero(step, classes, **_): return np.zeros((len(step), classes))\n"
    )
    if "dataset___target_" in settings or "dataset__settings__nois" in settings:
        settings = {"dataset": "moons", **settings}
    words = [f"{name.replace('__', '.', 1)}={value}" for name, value in settings.items()]
    words = [word.replace("settings__", "settings.") for word in words]
    with pytest.raises(ConfigError) as refused:
        package.train(*words, config_dir=folder, **SMALL)
    assert error in str(refused.value)
    assert "\n" not in str(refused.value)
    for name in ("odd", "bad"):
        sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_command_of_an_example(name: str, folder: Path, dynsweep: Dynsweep) -> None:
    (text,) = re.findall(r"^```bash\n(.*?)^```", EXAMPLES[name], re.M | re.S)
    _, *arguments = shlex.split(text)
    done = dynsweep(*arguments)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(folder / "out" / "results.csv")
    assert len(table) == 4
    assert (table["status"] == "completed").all()
    dynamical = table[table["amplitude"] != 1]
    assert dynamical["train_loss"].nunique() == len(dynamical)
    again = dynsweep(*arguments)
    assert "4 of 4 runs are in out already" in again.stdout
    assert (folder / "out" / "decision_regions.png").exists()


def test_what_is_recorded_is_what_is_shown(folder: Path) -> None:
    """Decision regions are those of the data and the model with the arguments that they had."""
    settings = {"dataset": "moons", "dataset__settings__noise": 0.3, "model": "deep"}
    place = folder / "out"
    layers = {"model__settings__layers": [1, 3]}
    package.sweep(config_dir=folder, directory=place, **{**SMALL, **settings, **layers})
    runs = load_runs([place])
    found = recorded_settings(drawable(runs))
    assert len(found) == 2
    assert all(one.identity() == identity for identity, one in found.items())
    assert {one.model.settings["layers"] for one in found.values()} == {1, 3}
    for _, run in runs.iterrows():
        weights = load_weights(place, run["weights"])[run["id"]]
        data = found[run["id"]].dataset.load()
        predict = predictor(found[run["id"]], weights)
        accuracy = (predict(data.train_inputs) == data.train_labels).mean()
        assert accuracy == pytest.approx(run["train_accuracy"])
