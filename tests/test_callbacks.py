"""Sweeps logged to TensorBoard, MLflow and Weights & Biases, read back as these read them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import wandb_files
from conftest import ENVIRONMENT

from dynsweep.analysis.frame import load_frame
from dynsweep.store import METRICS, load_trajectories

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]
# What was read of a run: settings, and values by step of every quantity.
Read = tuple[dict[str, Any], dict[str, dict[int, float]]]

GRID = ["steps=40", "model.width=8", "engine=reference", "loss.period=5,10", "seed=0,1"]
OBSERVE = ["observe=metrics", "observe.records=4", "observe.loss_every=10"]


def tensorboard(directory: Path) -> list[Read]:
    """The runs below a log directory."""
    pytest.importorskip("tensorboard", reason="pip install 'dynsweep[tensorboard]' to test it")
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata

    events = EventMultiplexer(size_guidance={"scalars": 0}).AddRunsFromDirectory(str(directory))
    events.Reload()
    found = []
    for name in events.Runs():
        content = events.SummaryMetadata(name, metadata.SESSION_START_INFO_TAG)
        start = metadata.parse_session_start_info_plugin_data(content.plugin_data.content)
        settings = {k: getattr(v, v.WhichOneof("kind")) for k, v in start.hparams.items()}
        curves: dict[str, dict[int, float]] = {}
        for tag in events.Runs()[name]["scalars"]:
            points = events.Scalars(name, tag)
            curves[tag] = {point.step: point.value for point in points}
            assert len(curves[tag]) == len(points), "logged twice"
        found.append((settings, curves))
    return found


def mlflow_runs(uri: str, experiment: str = "dynsweep") -> list[Any]:
    pytest.importorskip("mlflow", reason="pip install 'dynsweep[mlflow]' to test it")
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    known = client.get_experiment_by_name(experiment)
    assert known is not None
    return list(client.search_runs([known.experiment_id]))


def mlflow(directory: Path) -> list[Read]:
    """The finished runs of a sweep's own database."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{directory.resolve() / 'mlflow.db'}"
    client, found = MlflowClient(uri), []
    for run in mlflow_runs(uri):
        if run.info.status == "FINISHED":
            curves = {
                name: {p.step: p.value for p in client.get_metric_history(run.info.run_id, name)}
                for name in run.data.metrics
            }
            found.append((run.data.params, curves))
    return found


def wandb_runs(directory: Path) -> list[dict[str, Any]]:
    """The runs of a sweep's own folder, written offline."""
    return [wandb_files.read(path) for path in sorted(directory.glob("wandb/*/run-*.wandb"))]


def wandb(directory: Path) -> list[Read]:
    """Those that finished."""
    return [
        (run["config"], run["curves"]) for run in wandb_runs(directory) if run.get("exit") == 0
    ]


@pytest.fixture(params=["tensorboard", "mlflow", "wandb"])
def tracker(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, Callable[[Path], list[Read]]]:
    name: str = request.param
    pytest.importorskip(name, reason=f"pip install 'dynsweep[{name}]' to test it")
    if name == "mlflow":
        return "+callbacks=mlflow", mlflow
    if name == "wandb":
        monkeypatch.setitem(ENVIRONMENT, "WANDB_MODE", "offline")
        return "+callbacks=wandb", wandb
    return "+callbacks=tensorboard", lambda directory: tensorboard(directory / "tensorboard")


Tracker = tuple[str, Callable[[Path], list[Read]]]


def check(directory: Path, found: list[Read], count: int) -> None:
    """Each finished run once: its settings, final metrics, and its trajectory by step."""
    frame = load_frame([directory])
    frame = frame[frame["status"] == "completed"].set_index(["period", "seed", "width"])
    curves = load_trajectories(directory).groupby("id")
    keys = [
        (int(float(s["loss.period"])), int(float(s["seed"])), int(float(s["model.width"])))
        for s, _ in found
    ]
    assert sorted(keys) == sorted(frame.index.tolist())
    assert len(keys) == count
    for key, (settings, logged) in zip(keys, found, strict=True):
        assert float(settings["loss.amplitude"]) == 20
        assert settings["model.init"] == "standard"
        assert "engine.name" not in settings
        expected: dict[str, dict[int, float]] = {name: {} for name in METRICS}
        if frame.loc[key, "id"] in curves.groups:
            own: pd.DataFrame = curves.get_group(frame.loc[key, "id"]).set_index("step")
            expected = {str(name): own[name].dropna().to_dict() for name in own.columns.drop("id")}
        for name in METRICS:
            expected[name][40] = frame.loc[key, name]
        assert logged.keys() == expected.keys()
        for name, values in expected.items():
            assert logged[name] == pytest.approx(values, rel=1e-6), name


@pytest.mark.parametrize(
    "launcher", ["fused", *(pytest.param(n, marks=pytest.mark.slow) for n in ("basic", "joblib"))]
)
def test_every_run_is_logged_once(
    dynsweep: Dynsweep, tmp_path: Path, tracker: Tracker, launcher: str
) -> None:
    option, read = tracker
    command = ["-m", f"hydra/launcher={launcher}", *GRID, *OBSERVE, option, "hydra.sweep.dir=out"]
    done = dynsweep(*command)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    check(tmp_path / "out", read(tmp_path / "out"), 4)
    assert all(len(curves["loss"]) >= 4 for _, curves in read(tmp_path / "out"))
    if launcher == "fused":
        # The directory resumed, with a finer grid: what was logged stays as it is.
        assert dynsweep(*command, "loss.period=5,7,10").returncode == 0
        check(tmp_path / "out", read(tmp_path / "out"), 6)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_runs_beside_a_failed_one_are_logged(
    dynsweep: Dynsweep, tmp_path: Path, tracker: Tracker
) -> None:
    """Hydra does not tell of the end of such a multirun."""
    option, read = tracker
    grid = [*GRID, "model.width=8,1000000000000", "seed=0"]
    done = dynsweep("-m", *grid, option, "hydra.sweep.dir=out")
    assert done.returncode == 1
    assert "Warning" not in done.stderr
    check(tmp_path / "out", read(tmp_path / "out"), 2)
    if option == "+callbacks=mlflow":
        runs = mlflow_runs(f"sqlite:///{tmp_path / 'out' / 'mlflow.db'}")
        failed = [run for run in runs if run.info.status == "FAILED"]
        assert len(failed) == 2
        assert failed[0].data.params["model.width"] == "1000000000000"
        assert failed[0].data.tags["dynsweep.error"] != "None"
    if option == "+callbacks=wandb":
        assert sorted(run["exit"] for run in wandb_runs(tmp_path / "out")) == [0, 0, 1, 1]


def test_a_single_run_is_logged(dynsweep: Dynsweep, tmp_path: Path, tracker: Tracker) -> None:
    option, read = tracker
    done = dynsweep("steps=40", "model.width=8", "engine=reference", option, "hydra.run.dir=out")
    assert done.returncode == 0, done.stderr
    check(tmp_path / "out", read(tmp_path / "out"), 1)


@pytest.mark.slow
def test_the_static_loss_of_a_grid_is_logged_as_it_was_trained(
    dynsweep: Dynsweep, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'dynsweep[tensorboard]' to test it")
    grid = ["loss=static,dynamical", "loss.amplitude=10,20", "seed=0", "loss.period=5"]
    done = dynsweep("-m", *GRID, *grid, "+callbacks=tensorboard", "hydra.sweep.dir=out")
    assert done.returncode == 0
    assert not done.stderr
    found = tensorboard(tmp_path / "out" / "tensorboard")
    assert sorted(settings["loss.amplitude"] for settings, _ in found) == [1, 10, 20]


@pytest.mark.slow
def test_sweeps_share_a_log_directory(dynsweep: Dynsweep, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install 'dynsweep[tensorboard]' to test it")
    options = ["+callbacks=tensorboard", "hydra.callbacks.tensorboard.directory=logs"]
    for seed in (0, 1):
        done = dynsweep("-m", *GRID, f"seed={seed}", *options, f"hydra.sweep.dir={seed}")
        assert done.returncode == 0, done.stderr
    assert len(tensorboard(tmp_path / "logs")) == 4
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names[0].startswith("steps=40,model.width=8,loss.period=10,seed=0,")


@pytest.mark.slow
def test_sweeps_share_an_mlflow_database(dynsweep: Dynsweep, tmp_path: Path) -> None:
    """The same runs of two sweeps are runs of their own, as one may have recorded more."""
    pytest.importorskip("mlflow", reason="pip install 'dynsweep[mlflow]' to test it")
    options = ["+callbacks=mlflow", "hydra.callbacks.mlflow.uri='sqlite:///all.db'"]
    for name in ("a", "b"):
        done = dynsweep(
            "-m", *GRID, *options, "hydra.callbacks.mlflow.experiment=mine",
            f"hydra.sweep.dir={name}",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    runs = mlflow_runs(f"sqlite:///{tmp_path / 'all.db'}", "mine")
    assert len(runs) == 8
    assert {Path(run.data.tags["dynsweep.directory"]).name for run in runs} == {"a", "b"}
    assert "loss.period=5 seed=0" in " | ".join(run.info.run_name for run in runs)
    assert all(run.info.end_time >= run.info.start_time for run in runs)


def test_runs_of_weights_and_biases_say_where_they_belong(
    dynsweep: Dynsweep, tmp_path: Path
) -> None:
    pytest.importorskip("wandb", reason="pip install 'dynsweep[wandb]' to test it")
    place = "hydra.callbacks.wandb."
    options = [f"{place}{name}" for name in ("mode=offline", "project=mine", "entity=team")]
    done = dynsweep("-m", *GRID, "seed=0", "+callbacks=wandb", *options, "hydra.sweep.dir=out")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    found = [run["run"] for run in wandb_runs(tmp_path / "out")]
    assert {(run.project, run.entity, run.run_group) for run in found} == {("mine", "team", "out")}
    name = "steps=40 model.width=8 loss.period=5 seed=0"
    assert name in [run.display_name for run in found]
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_client_is_told_before_anything_is_trained(tmp_path: Path, name: str) -> None:
    hidden = (
        f"import sys; sys.modules[{name!r}] = None; from dynsweep.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden, "-m", *GRID, f"+callbacks={name}"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    told = f"dynsweep: error: callbacks={name}: needs pip install 'dynsweep[{name}]'\n"
    assert done.stderr == told
    assert not list(tmp_path.rglob("*.jsonl"))
