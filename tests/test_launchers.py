"""Launchers and sweeper: Hydra's own suites, and what dynsweep's runs get from each of them."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException, HydraException, OverrideParseException
from hydra.experimental.callback import Callback
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from dynsweep.config import register_schemas
from dynsweep.errors import ConfigError, SweepFailed
from dynsweep.launchers import register
from dynsweep.launchers.sweeper import FusedSweeper
from dynsweep.store import read
from dynsweep.sweep.task import Task

REGISTERED = """
import runpy, sys
from dynsweep.config import register_schemas
from dynsweep.launchers import register
register()
register_schemas()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """Hydra's suites start each test with what was registered before the first."""
    register()
    register_schemas()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("launcher_name", ["fused"])
@pytest.mark.parametrize("overrides", [[], ["hydra/sweeper=fused"]])
class TestHydrasLauncherSuite(LauncherTestSuite):
    """Hydra's tests of launchers, with its own sweeper and with ours."""


@pytest.mark.filterwarnings("ignore::UserWarning")
class TestHydrasBatchSuite:
    """Hydra's tests of sweepers that launch in batches."""

    @pytest.mark.parametrize("launcher", ["fused", "basic"])
    def test_batches(self, hydra_sweep_runner: Any, launcher: str, tmpdir: Any) -> None:
        state = copy.deepcopy(Singleton.get_state())
        overrides = ["hydra/sweeper=fused", "hydra.sweeper.max_batch_size=2"]
        BatchedSweeperTestSuite().test_sweep_2_jobs_2_batches(
            hydra_sweep_runner, launcher, overrides, tmpdir
        )
        Singleton.set_state(state)


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/launcher=fused", "hydra/sweeper=fused"])],
)
class TestHydrasIntegrationSuite(IntegrationTestSuite):
    """Hydra's tests of whole applications."""

    def generate_custom_cmd(self) -> Callable[..., list[str]]:
        return lambda cmd, filename: [cmd[0], "-c", REGISTERED, *cmd[1:]]


class Recorder(Callback):
    """A Hydra callback that keeps what it was told."""

    heard: list[Any] = []  # noqa: RUF012

    def on_job_start(self, config: DictConfig, task_function: Any, **kwargs: Any) -> None:
        self.heard.append(("start", config.loss.period, HydraConfig.get().job.num))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        assert job_return.cfg is not None
        period, number = job_return.cfg.loss.period, HydraConfig.get().job.num
        self.heard.append(("end", period, number, job_return.status))


SMALL = ["steps=20", "model.width=8", "engine=reference", "report=False", "hydra.sweep.dir=out"]


class App:
    """The dynsweep app in this process."""

    def __init__(self) -> None:
        self.hydra = Hydra.create_main_hydra2(
            "dynsweep", create_config_search_path("pkg://dynsweep.conf")
        )
        self.task = Task()

    def multirun(self, *overrides: str) -> Any:
        return self.hydra.multirun(
            "config", self.task, ["hydra.mode=MULTIRUN", *SMALL, *overrides]
        )


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    state = copy.deepcopy(Singleton.get_state())
    version.setbase("1.3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    Recorder.heard = []
    yield App()
    Singleton.set_state(state)
    GlobalHydra.instance().clear()


LAUNCHERS = ["fused", "basic", pytest.param("joblib", marks=pytest.mark.slow)]


@pytest.mark.parametrize("launcher", LAUNCHERS)
class TestEveryLauncher:
    """Whichever launcher trains a grid, records, values and errors are the same."""

    def test_runs_are_recorded_and_their_objectives_returned(
        self, app: App, launcher: str
    ) -> None:
        (returns,) = app.multirun(f"hydra/launcher={launcher}", "loss.period=5,7", "seed=0,1")
        entries = {tuple(entry["overrides"][-2:]): entry for entry in read("out")}
        assert [job.overrides[-2:] for job in returns] == [
            [f"loss.period={period}", f"seed={seed}"] for period in (5, 7) for seed in (0, 1)
        ]
        for number, job in enumerate(returns):
            entry = entries[tuple(job.overrides[-2:])]
            assert job.status is JobStatus.COMPLETED
            assert job.return_value == entry["validation_accuracy"]
            assert (entry["number"], entry["status"]) == (number, "completed")
            assert f"loss.period={entry['config']['loss.period']}" in job.overrides
        saved = OmegaConf.load("out/multirun.yaml")
        assert list(saved.hydra.overrides.task)[-2:] == ["loss.period=5,7", "seed=0,1"]
        assert app.task.directories == [Path("out")] or launcher == "joblib"

    def test_all_are_checked_before_any_is_trained(self, app: App, launcher: str) -> None:
        with pytest.raises(ConfigError, match=r"loss\.period=0: must be"):
            app.multirun(f"hydra/launcher={launcher}", "loss.period=5,0")
        assert not Path("out").exists()

    def test_callbacks_hear_of_every_job(self, app: App, launcher: str) -> None:
        target = f"+hydra.callbacks.c._target_={__name__}.Recorder"
        app.multirun(f"hydra/launcher={launcher}", target, "loss.period=5,7")
        if launcher == "joblib":
            return  # in other processes
        done = JobStatus.COMPLETED
        expected = [("start", 5, 0), ("start", 7, 1), ("end", 5, 0, done), ("end", 7, 1, done)]
        assert sorted(Recorder.heard, key=str) == sorted(expected, key=str)
        assert HydraConfig.instance().cfg is None


class TestFailures:
    @pytest.mark.parametrize("batches", ["null", "1"])
    def test_are_counted_at_the_end(self, app: App, batches: str) -> None:
        with pytest.raises(SweepFailed) as raised:
            app.multirun(
                "model.width=8,1000000000000,9", f"hydra.sweeper.max_batch_size={batches}"
            )
        assert str(raised.value).startswith("1 of 3 jobs failed; the first (")
        assert "model.width=1000000000000" in str(raised.value)
        assert sorted(entry["status"] for entry in read("out")) == [
            "completed", "completed", "failed",
        ]  # fmt: skip

    def test_an_optimising_sweeper_launches_many_times(self, app: App) -> None:
        for number in range(3):
            ((done,),) = app.multirun(
                f"loss.period={5 + number}", "hydra.sweeper.max_batch_size=1"
            )
            assert 0 <= done.return_value <= 1
        assert [entry["config"]["loss.period"] for entry in read("out")] == [5, 6, 7]


class TestSweeper:
    def test_types_of_every_value_are_checked(self, app: App) -> None:
        with pytest.raises(ConfigCompositionException) as raised:
            app.multirun("seed=1,2", "nothing=4")
        assert "Could not override 'nothing'" in str(raised.value)

    @pytest.mark.parametrize("axis", ["seed=range(5,5)", "seed=range(1.5,1.0)", "model=glob(x*)"])
    def test_a_grid_with_no_points(self, app: App, axis: str) -> None:
        with pytest.raises(ConfigError) as raised:
            app.multirun("loss.period=1,2", axis)
        assert str(raised.value) == f"{axis}: a grid with no points; give at least one value"

    def test_what_hydra_refuses(self, app: App) -> None:
        with pytest.raises(OverrideParseException):
            app.multirun("seed=choice()")
        with pytest.raises(HydraException, match="INTERVAL_SWEEP"):
            app.multirun("optimizer.lr=interval(0,1)")
        with pytest.raises(HydraException, match="Sweeping over Hydra's configuration"):
            app.multirun("hydra.verbose=true,false")

    @pytest.mark.parametrize(
        ("arguments", "overrides"),
        [
            (["seed=1,2"], [["seed=1"], ["seed=2"]]),
            (["seed=range(0,3)"], [["seed=0"], ["seed=1"], ["seed=2"]]),
            (["seed=sort(3,1,2)"], [["seed=1"], ["seed=2"], ["seed=3"]]),
            (["loss=glob(*,exclude=s*)"], [["loss=dynamical"], ["loss=mse"]]),
            (["seed=1,2", "loss.period=3", "seed=5"], [["seed=5", "loss.period=3"]]),
            (
                ["++seed=1,2", "precision=float64"],
                [["++seed=1", "precision=float64"], ["++seed=2", "precision=float64"]],
            ),
            ([], [[]]),
        ],
    )  # fmt: skip
    def test_the_same_jobs_as_the_basic_sweeper(
        self, app: App, arguments: list[str], overrides: list[list[str]]
    ) -> None:
        jobs = {}
        for sweeper in ("basic", "fused"):
            (returns,) = app.multirun(f"hydra/sweeper={sweeper}", *arguments)
            given = [list(job.overrides)[4:] for job in returns]
            jobs[sweeper] = given
        assert jobs == {"basic": overrides, "fused": overrides}

    def test_params_of_the_config(self, app: App) -> None:
        params = {
            "seed": "1,2", "loss.counting": ["paper", "notebook"], "model": {"bias": False},
            "optimizer.batch_size": [None, 50], "loss.period": "range(5,7)",
        }  # fmt: skip
        sweeper = FusedSweeper(None, params)
        given = ["hydra.mode=MULTIRUN", "hydra/sweeper=fused", *SMALL]
        config = app.hydra.compose_config("config", given, RunMode.MULTIRUN)
        context = HydraContext(app.hydra.config_loader, Callbacks())
        sweeper.setup(hydra_context=context, task_function=app.task, config=config)
        (returns,) = sweeper.sweep([*SMALL, "loss.period=7"])
        assert len(returns) == 2 * 2 * 2
        assert returns[1].overrides[:5] == [
            "seed=1", "loss.counting=paper", "model.bias=False", "optimizer.batch_size=50",
            "loss.period=7",
        ]  # fmt: skip

    def test_batches_of_no_jobs_are_refused(self, app: App) -> None:
        with pytest.raises(ConfigError, match="max_batch_size=0: must be at least 1"):
            app.multirun("hydra.sweeper.max_batch_size=0", "seed=1,2")

    @pytest.mark.parametrize(("count", "lines"), [(20, 21), (21, 1)])
    def test_the_log_does_not_flood(
        self, app: App, capsys: pytest.CaptureFixture[str], count: int, lines: int
    ) -> None:
        app.multirun("steps=0", f"seed=range({count})")
        printed = capsys.readouterr().out.splitlines()
        listed = [line for line in printed if "Launching" in line or "\t#" in line]
        assert len(listed) == lines
        assert f"Launching {count} jobs locally" in listed[0]


def test_another_app_is_run_as_hydra_does(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import json, hydra\nfrom pathlib import Path\n"
        "from hydra.core.hydra_config import HydraConfig\n"
        "@hydra.main(version_base='1.3', config_path=None)\n"
        "def main(cfg):\n"
        "    told = [cfg.a, HydraConfig.get().job.num]\n"
        "    place = Path(HydraConfig.get().runtime.output_dir)\n"
        "    (place / 'told.json').write_text(json.dumps(told))\n"
        "main()\n"
    )
    for launcher in ("fused", "joblib"):
        command = [sys.executable, "-c", REGISTERED, "app.py", "-m", "+a=x,y"]
        command += [f"hydra/launcher={launcher}", "hydra/sweeper=fused"]
        subprocess.run(
            [*command, f"hydra.sweep.dir={launcher}"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        paths = sorted(tmp_path.glob(f"{launcher}/*/told.json"))
        assert [json.loads(path.read_text()) for path in paths] == [["x", 0], ["y", 1]]
    command[command.index("hydra/launcher=joblib")] = "hydra/launcher=fused_slurm"
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "for another app take submitit_slurm" in refused.stderr


def test_registering_again_changes_nothing() -> None:
    before = dict(Plugins.instance().class_name_to_class)
    register()
    assert Plugins.instance().class_name_to_class == before


def test_nothing_here_imports_torch() -> None:
    code = (
        "import sys; from dynsweep.launchers import register; register();"
        "import dynsweep.config;"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_results_do_not_depend_on_the_launcher(app: App) -> None:
    frames = []
    for launcher in ("fused", "basic"):
        app.multirun(f"hydra/launcher={launcher}", "seed=0,1", f"hydra.sweep.dir={launcher}")
        frames.append(pd.DataFrame(read(launcher)).set_index("identity").sort_index())
    columns = ["train_loss", "validation_loss", "train_accuracy", "validation_accuracy"]
    pd.testing.assert_frame_equal(frames[0][columns], frames[1][columns])
