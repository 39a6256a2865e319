"""Trackers that do not answer: told at the start, and never at the cost of a result."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT

from dynsweep.callbacks.patience import Patient, within
from dynsweep.callbacks.runs import Logged, Tracker
from dynsweep.store import read

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]

GRID = [
    "-m", "model.width=8", "engine=reference", "loss.period=5,10", "seed=0,1", "report=false",
    "hydra.sweep.dir=d",
]  # fmt: skip


class Full(Tracker):
    """A tracker that has room for one run, and is slow to say so."""

    def __init__(self) -> None:
        super().__init__("json", "Full", patience=0.3)
        self.asked = 0

    def log(self, run: Logged) -> None:
        self.asked += 1
        (run.directory / f"asked_{self.asked}").touch()
        if self.asked > 1:
            time.sleep(0.2)
            raise OSError(28, "No space left on device")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"http://me:secret@127.0.0.1:{listening.getsockname()[1]}"


def test_what_takes_too_long_is_given_up() -> None:
    class Client:
        def wait(self, seconds: float) -> float:
            time.sleep(seconds)
            return seconds

    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
        within(0.2, lambda: time.sleep(20))
    with pytest.raises(TimeoutError):
        Patient(Client(), 0.2).wait(20)
    assert time.monotonic() - start < 5
    assert Patient(Client(), 5).wait(seconds=0.01) == 0.01
    with pytest.raises(KeyError):
        within(5, lambda: {}["x"])


@pytest.mark.slow
def test_a_tracker_that_raises_costs_no_result(tmp_path: Path) -> None:
    option = f"+hydra.callbacks.c._target_={__name__}.Full"
    done = subprocess.run(
        [*COMMAND, *GRID, "steps=20", "seed=range(0,4)", option],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(pd.read_csv(tmp_path / "d" / "results.csv")["status"]) == {"completed"}
    warning, command = done.stderr.splitlines()
    told = "7 of 8 runs are not in Full: No space left on device. To send them:"
    assert warning == f"dynsweep: warning: {told}"
    assert shlex.split(command)[:2] == ["dynsweep", "-m"]
    assert shlex.split(command)[-1] == "hydra.sweep.dir=d"
    # Twice in vain were longer than its patience.
    assert len(list((tmp_path / "d").glob("asked_*"))) == 3


@pytest.mark.slow
def test_a_server_that_refuses_or_is_silent_is_told_before_anything(
    tmp_path: Path, dynsweep: Dynsweep, silent: str
) -> None:
    pytest.importorskip("mlflow", reason="pip install 'dynsweep[mlflow]' to test it")
    waits = "hydra.callbacks.mlflow.patience=2"
    for address, reason in ((silent, "no answer within 2 s"), ("http://127.0.0.1:9", "refused")):
        uri = f"hydra.callbacks.mlflow.uri={address}"
        refused = dynsweep(*GRID, "steps=20", "+callbacks=mlflow", uri, waits)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        shown = address.replace("me:secret@", "")
        start = f"dynsweep: error: hydra.callbacks.mlflow.uri={shown}: MLflow cannot be reached ("
        assert line.startswith(start)
        assert reason in line
        assert "without +callbacks=mlflow the runs are trained" in line
        assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_weights_and_biases_never_prompts(
    tmp_path: Path, dynsweep: Dynsweep, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="pip install 'dynsweep[wandb]' to test it")
    address = silent.replace("me:secret@", "")
    for name, value in (("HOME", str(tmp_path)), ("WANDB_BASE_URL", address)):
        monkeypatch.setitem(ENVIRONMENT, name, value)
    monkeypatch.delitem(ENVIRONMENT, "WANDB_API_KEY", raising=False)
    command = [*GRID, "steps=20", "+callbacks=wandb", "hydra.callbacks.wandb.patience=3"]
    start = "dynsweep: error: hydra.callbacks.wandb.mode=online"
    refused = dynsweep(*command)
    assert refused.returncode == 2
    told = f"{start}: not logged in at {address}: wandb login, WANDB_API_KEY=..., or mode=offline"
    assert refused.stderr.strip() == told
    monkeypatch.setitem(ENVIRONMENT, "WANDB_API_KEY", 40 * "a")
    refused = dynsweep(*command)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    told = f"{start} at {address}: Weights & Biases cannot be reached (no answer within 3 s); "
    assert line.startswith(told)
    assert not (tmp_path / "d").exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A real MLflow server: its address and its process group."""
    pytest.importorskip("mlflow", reason="pip install 'dynsweep[mlflow]' to test it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = tmp_path / "server"
    place.mkdir()
    words = ["--port", str(port), "--backend-store-uri", "sqlite:///s.db", "--workers", "1"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words],
            cwd=place, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(240):
            with suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=1):
                break
            time.sleep(0.5)
        yield address, process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_server_that_goes_away_costs_no_result_and_gets_its_runs_later(
    tmp_path: Path, server: tuple[str, int]
) -> None:
    from mlflow import MlflowClient

    address, group = server
    tracker = ["+callbacks=mlflow", f"hydra.callbacks.mlflow.uri={address}"]
    command = [*COMMAND, *GRID, "steps=20000", *tracker, "hydra.callbacks.mlflow.patience=4"]
    options = {"cwd": tmp_path, "env": ENVIRONMENT, "text": True, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as first:  # type: ignore[call-overload]
        assert any("Training" in line for line in first.stdout)
        os.killpg(group, signal.SIGSTOP)  # it takes connections, and answers none
        output, warning = first.communicate(timeout=200)
    os.killpg(group, signal.SIGCONT)
    assert first.returncode == 0, warning
    assert "results.csv" in output
    assert "4 of 4 runs are not in MLflow: no answer within 4 s. To send them:" in warning
    assert len(warning.splitlines()) == 2
    before = len(list(read(tmp_path / "d")))
    again = shlex.split(warning.splitlines()[1])[1:]
    done = subprocess.run([*COMMAND, *again], stdout=subprocess.PIPE, **options, check=False)  # type: ignore[call-overload]
    assert done.returncode == 0
    assert not done.stderr
    assert len(list(read(tmp_path / "d"))) == before == 4
    client = MlflowClient(address)
    (experiment,) = client.search_experiments(filter_string="name = 'dynsweep'")
    runs = client.search_runs([experiment.experiment_id])
    assert [(run.info.status, len(run.data.metrics)) for run in runs] == [("FINISHED", 4)] * 4
