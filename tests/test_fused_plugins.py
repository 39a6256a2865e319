"""The fused launcher and sweeper as Hydra plugins: Hydra's own suites, the basic launcher as the
measure of every effect of a job, and what tasks that take all jobs together get."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
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

from dynsweep.errors import ConfigError
from dynsweep.launchers.jobs import Job
from dynsweep.launchers.registration import SweepFailed, register

register()

REGISTERED = """
import runpy, sys
from dynsweep.launchers.registration import register
register()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
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
    """Hydra's tests of whole applications, registered by us as in an editable installation."""

    def generate_custom_cmd(self) -> Callable[..., list[str]]:
        return lambda cmd, filename: [cmd[0], "-c", REGISTERED, *cmd[1:]]


FILES = {
    "config.yaml": """
defaults: [{model: small}, _self_]
a: 1
lr: 0.5
same: ${a}
place: ${hydra:runtime.output_dir}
number: ${hydra:job.num}
hydra:
  job: {name: app}
  sweep: {dir: sweep, subdir: "${hydra.job.num}"}
  job_logging: {formatters: {simple: {format: "[%(name)s] %(message)s"}}}
""",
    "model/small.yaml": "width: 10\n",
    "model/large.yaml": "width: 1000\nlayers: 3\n",
}
GRID = [
    ["model=small", "lr=0.1", "a='x y'"],
    ["model=small", "lr=1", "a=7"],
    ["model=large", "lr=0.1", "a=7"],
    ["model=large", "lr=1", "a='x y'"],
    ["model=small", "lr=1", "a='10'"],
]


RECORDER = f"{__name__}.Recorder"


class Recorder(Callback):
    """A Hydra callback that keeps what it was told."""

    heard: list[Any] = []  # noqa: RUF012

    def on_job_start(self, config: DictConfig, task_function: Any, **kwargs: Any) -> None:
        self.heard.append(("start", OmegaConf.to_yaml(config), HydraConfig.get().job.num))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        told = job_return.status, repr(job_return._return_value), OmegaConf.to_yaml(job_return.cfg)
        self.heard.append(("end", OmegaConf.to_yaml(config), HydraConfig.get().job.num, told))


class Together:
    """A task that takes all jobs; those with ``lr`` above 5 fail."""

    def __init__(self) -> None:
        self.checked: list[Job] = []
        self.launches: list[list[Job]] = []

    def __call__(self, cfg: DictConfig) -> Any:
        return self._run(OmegaConf.to_container(cfg, resolve=True))

    def check_jobs(self, jobs: Sequence[Job], sweep: DictConfig, here: bool = True) -> None:
        self.checked += jobs
        for job in jobs:
            if job.config["a"] == "bad":
                raise ConfigError("a", "bad", "must be good")

    def run_jobs(self, jobs: Sequence[Job], sweep: DictConfig) -> list[Any]:
        assert sweep.hydra.mode is RunMode.MULTIRUN
        self.launches.append(list(jobs))
        results: list[Any] = []
        for job in jobs:
            try:
                results.append(self._run(job.config))
            except ValueError as error:
                results.append(error)
        return results

    def _run(self, config: Any) -> Any:
        if config["lr"] > 5:
            raise ValueError(f"lr {config['lr']}\nis too large")
        return [config["a"], config["lr"], config["model"]["width"]]


class App:
    """A Hydra app in this process."""

    def __init__(self, folder: Path) -> None:
        for name, text in FILES.items():
            (folder / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "conf" / name).write_text(text)
        self.hydra = Hydra.create_main_hydra2(
            "app", create_config_search_path(str(folder / "conf"))
        )

    def launcher(self, launcher: Any, task: Any, *overrides: str) -> Any:
        overrides = ("hydra.mode=MULTIRUN", *overrides)
        config = self.hydra.compose_config("config", list(overrides), RunMode.MULTIRUN)
        context = HydraContext(self.hydra.config_loader, Callbacks(config))
        launcher.setup(hydra_context=context, task_function=task, config=config)
        return launcher

    def multirun(self, task: Any, *overrides: str) -> Any:
        fused = ["hydra/launcher=fused", "hydra/sweeper=fused", "hydra.mode=MULTIRUN"]
        return self.hydra.multirun("config", task, [*fused, *overrides])


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    state = copy.deepcopy(Singleton.get_state())
    version.setbase("1.3")
    monkeypatch.chdir(tmp_path)
    Recorder.heard = []
    yield App(tmp_path)
    Singleton.set_state(state)
    GlobalHydra.instance().clear()


def fused(job_dirs: bool = False) -> Any:
    from hydra_plugins.dynsweep_fused.launcher import FusedLauncher

    return FusedLauncher(job_dirs)


def tree(folder: str | Path) -> dict[str, str | None]:
    """Every path below ``folder``, and the text of files."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }


class Observer:
    """An ordinary task that tells all it can see of its job."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, cfg: DictConfig) -> Any:
        logging.getLogger("task").info("lr %s", cfg.lr)
        logging.getLogger("quiet").debug("a %s", cfg.a)
        singleton = HydraConfig.instance()
        self.seen.append(
            (
                OmegaConf.to_yaml(cfg),
                OmegaConf.to_container(cfg, resolve=True),
                OmegaConf.to_yaml(HydraConfig.get()),
                HydraConfig.get().sweep.subdir,
                OmegaConf.to_yaml(pickle.loads(pickle.dumps(singleton)).cfg),
                OmegaConf.is_readonly(HydraConfig.get()),
                OmegaConf.is_struct(cfg),
                os.getcwd(),
                os.environ.get("JOB"),
            )
        )
        Path("written").write_text(str(cfg.lr))
        cfg.a = "changed"
        if cfg.model.width == 1000 and cfg.lr == 1:
            raise ValueError("too much")
        return cfg.lr


class TestAgainstTheBasicLauncher:
    @pytest.mark.parametrize(
        "overrides",
        [
            [],
            ["hydra.job.chdir=true"],
            ["hydra.output_subdir=null"],
            ["hydra.output_subdir='${hydra.job.name}_${hydra.job.num}'"],
            ["+hydra.job.env_set.JOB='${hydra.job.num}-${hydra.job.name}'"],
            ["hydra.sweep.subdir='${hydra.job.override_dirname}'", "hydra.job.chdir=true"],
            ["hydra.sweep.dir='sweep/${model.width}'"],
            ["hydra.verbose=[quiet]"],
            ["hydra/job_logging=disabled"],
            ["+hydra.job_logging.loggers.quiet.level=DEBUG"],
            ["hydra.job_logging.handlers.file.filename='${hydra.sweep.dir}/${hydra.job.num}.log'"],
            [f"+hydra.callbacks.one._target_={RECORDER}"],
        ],
    )
    def test_everything_a_job_leaves_behind(self, app: App, overrides: list[str]) -> None:
        results = []
        for launcher in (BasicLauncher(), fused()):
            task = Observer()
            Recorder.heard = []
            returns = app.launcher(launcher, task, *overrides).launch(GRID, 3)
            assert os.getcwd() == str(Path("sweep").absolute().parent)
            assert HydraConfig.instance().cfg is None
            told = [
                (
                    job.overrides,
                    OmegaConf.to_yaml(job.cfg),
                    OmegaConf.to_yaml(job.hydra_cfg),
                    job.working_dir,
                    job.task_name,
                    job.status,
                    repr(job._return_value),
                )
                for job in returns
            ]
            results.append((told, task.seen, tree("sweep"), Recorder.heard))
            Path("sweep").rename(f"sweep-of-{type(launcher).__name__}")
        basic, ours = results
        for one, two in zip(basic, ours, strict=True):
            assert one == two
        assert len(basic[2]) > len(GRID)
        assert bool(basic[3]) is ("callbacks" in str(overrides))

    def test_overrides_that_change_more_than_values(self, app: App) -> None:
        jobs = [
            ["+new=1"], ["+new=[1,2]"], ["~same"], ["++a=3", "lr=2"], ["a=null"], ["a='${lr}'"],
            ["hydra.job.name=other"], ["a='${now:%Y}'"], [],
        ]  # fmt: skip
        trees = []
        for launcher in (BasicLauncher(), fused()):
            app.launcher(launcher, lambda cfg: None).launch(jobs, 0)
            trees.append(tree("sweep"))
            Path("sweep").rename(f"sweep-of-{type(launcher).__name__}")
        assert trees[0] == trees[1]
        assert sum(name.endswith("config.yaml") for name in trees[0]) == len(jobs)

    def test_job_dirs_of_jobs_that_run_together(self, app: App) -> None:
        task = Together()
        app.launcher(BasicLauncher(), task).launch(GRID, 0)
        Path("sweep").rename("basic")
        app.launcher(fused(job_dirs=True), task).launch(GRID, 0)
        assert len(task.launches) == 1
        assert tree("basic") == tree("sweep")
        Path("sweep").rename("together")
        app.launcher(fused(job_dirs=False), task).launch(GRID, 0)
        assert tree("sweep") == {}


class TestJobsTogether:
    def test_one_call_and_a_return_for_each_job(self, app: App) -> None:
        task = Together()
        (returns,) = app.multirun(task, "model=small,large", "lr=0.1,1", "a=x,2")
        (jobs,) = task.launches
        assert [job.number for job in jobs] == list(range(8))
        assert jobs == task.checked
        assert jobs[5].overrides == ["model=large", "lr=0.1", "a=2"]
        assert jobs[5].config == {
            "model": {"width": 1000, "layers": 3},
            "a": 2,
            "lr": 0.1,
            "same": 2,
            "place": os.path.abspath("sweep/5"),
            "number": 5,
        }
        assert [job.return_value for job in returns] == [
            [a, lr, width] for width in (10, 1000) for lr in (0.1, 1) for a in ("x", 2)
        ]
        last = returns[-1]
        assert last.status is JobStatus.COMPLETED
        assert (last.cfg.lr, last.cfg.same, last.cfg.model.width) == (1, 2, 1000)
        assert last.hydra_cfg.hydra.job.num == 7
        assert last.hydra_cfg.hydra.overrides.task == last.overrides
        assert pickle.loads(pickle.dumps(last)).cfg == last.cfg
        assert set(os.listdir("sweep")) == {"multirun.yaml"}
        saved = OmegaConf.load("sweep/multirun.yaml")
        assert saved.hydra.overrides.task == ["model=small,large", "lr=0.1,1", "a=x,2"]

    def test_failures_are_counted_at_the_end(self, app: App) -> None:
        task = Together()
        with pytest.raises(SweepFailed) as raised:
            app.multirun(task, "lr=1,10,20,2", "hydra.sweeper.max_batch_size=1")
        assert [job.config["lr"] for jobs in task.launches for job in jobs] == [1, 10, 20, 2]
        assert str(raised.value) == (
            "2 of 4 jobs failed; the first (lr=10): ValueError: lr 10 is too large"
        )
        assert isinstance(raised.value.__cause__, ValueError)

    def test_ordinary_failures_too(self, app: App) -> None:
        with pytest.raises(SweepFailed, match="1 of 3 jobs failed"):
            app.multirun(lambda cfg: 1 / cfg.lr, "lr=1,0,2")

    def test_many_launches_of_an_optimising_sweeper(self, app: App) -> None:
        task = Together()
        launcher = app.launcher(fused(), task)
        for number in range(50):
            (done,) = launcher.launch([[f"lr={number / 100}", "a=3"]], number)
            assert done.return_value == [3, number / 100, 10]
            assert done.hydra_cfg.hydra.job.id == str(number)
        assert [jobs[0].number for jobs in task.launches] == list(range(50))
        assert len(launcher.work.composer._bases) == len(launcher.work.composer._shapes) == 1

    def test_callbacks_hear_of_every_job(self, app: App) -> None:
        app.multirun(
            Together(), "+hydra.callbacks.c._target_=test_fused_plugins.Recorder", "a=1,2"
        )
        kinds = [(heard[0], heard[2]) for heard in Recorder.heard]
        assert kinds == [("start", 0), ("start", 1), ("end", 0), ("end", 1)]
        config = OmegaConf.create(Recorder.heard[3][1])
        assert (config.a, config.same, config.hydra.job.num) == (2, 2, 1)
        assert Recorder.heard[3][3][:2] == (JobStatus.COMPLETED, "[2, 0.5, 10]")

    @pytest.mark.parametrize(("count", "lines"), [(20, 21), (21, 1)])
    def test_the_log_does_not_flood(
        self, app: App, capsys: pytest.CaptureFixture[str], count: int, lines: int
    ) -> None:
        app.multirun(Together(), f"a=range({count})")
        printed = capsys.readouterr().out.splitlines()
        assert len(printed) == lines
        assert f"Launching {count} jobs locally" in printed[0]


class TestSweeper:
    @pytest.mark.parametrize("launcher", ["fused", "basic", "joblib"])
    def test_all_jobs_are_checked_before_any_is_run(self, app: App, launcher: str) -> None:
        task = Together()
        with pytest.raises(ConfigError, match="must be good"):
            app.multirun(
                task, f"hydra/launcher={launcher}", "a=1,bad", "hydra.sweeper.max_batch_size=1"
            )
        assert len(task.checked) == 2
        assert not task.launches
        assert not Path("sweep").exists()

    def test_types_of_every_value_are_checked(self, app: App) -> None:
        with pytest.raises(ConfigCompositionException) as raised:
            app.multirun(Together(), "a=1,2", "lr=1,2", "+b=3", "nothing=4")
        assert "Could not override 'nothing'" in str(raised.value)

    @pytest.mark.parametrize("axis", ["a=range(5,5)", "a=range(1.5,1.0)", "model=glob(x*)"])
    def test_a_grid_with_no_points(self, app: App, axis: str) -> None:
        with pytest.raises(ConfigError) as raised:
            app.multirun(Together(), "lr=1,2", axis)
        assert str(raised.value) == f"{axis}: a grid with no points; give at least one value"

    def test_what_hydra_refuses(self, app: App) -> None:
        with pytest.raises(OverrideParseException):
            app.multirun(Together(), "a=choice()")
        with pytest.raises(HydraException, match="INTERVAL_SWEEP"):
            app.multirun(Together(), "lr=interval(0,1)")
        with pytest.raises(HydraException, match="Sweeping over Hydra's configuration"):
            app.multirun(Together(), "hydra.verbose=true,false")

    @pytest.mark.parametrize(
        ("arguments", "overrides"),
        [
            (["a=1,2"], [["a=1"], ["a=2"]]),
            (["a=range(0,3)"], [["a=0"], ["a=1"], ["a=2"]]),
            (["a=choice(x,[1,2],{k:v})"], [["a=x"], ["a=[1,2]"], ["a={k:v}"]]),
            (["a=sort(3,1,2)"], [["a=1"], ["a=2"], ["a=3"]]),
            (["model=glob(*)"], [["model=large"], ["model=small"]]),
            (["a='1,2'"], [["a='1,2'"]]),
            (["a=1,2", "lr=3", "a=5"], [["a=5", "lr=3"]]),
            (["+b=1,2", "~same"], [["+b=1", "~same=null"], ["+b=2", "~same=null"]]),
            ([], [[]]),
        ],
    )
    def test_the_same_jobs_as_the_basic_sweeper(
        self, app: App, arguments: list[str], overrides: list[list[str]]
    ) -> None:
        jobs = {}
        for sweeper in ("basic", "fused"):
            (returns,) = app.multirun(Together(), f"hydra/sweeper={sweeper}", *arguments)
            jobs[sweeper] = [job.overrides for job in returns]
        assert jobs == {"basic": overrides, "fused": overrides}

    def test_params_of_the_config(self, app: App) -> None:
        with Path("conf/config.yaml").open("a") as file:
            file.write("  sweeper:\n    params:\n")
            file.write("      a: 1,2\n      lr: range(1,3)\n      model: {width: 5}\n")
            file.write("      +list: [x, '10', null, [1, b c]]\n")
        (returns,) = app.multirun(Together(), "lr=3")
        assert len(returns) == 2 * 4
        assert returns[0].overrides == ["a=1", "lr=3", "model.width=5", "+list=x"]
        values = [job.cfg.list for job in returns[:4]]
        assert values == ["x", "10", None, [1, "b c"]]

    def test_batches_of_no_jobs_are_refused(self, app: App) -> None:
        with pytest.raises(ConfigError, match="max_batch_size=0"):
            app.multirun(Together(), "hydra.sweeper.max_batch_size=0", "a=1,2")


def test_joblib_gives_the_same_results(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text)
    (tmp_path / "app.py").write_text(
        """
import json, hydra
from pathlib import Path

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    from hydra.core.hydra_config import HydraConfig
    told = [cfg.a, cfg.same, cfg.number, HydraConfig.get().job.num]
    Path(HydraConfig.get().runtime.output_dir, "told.json").write_text(json.dumps(told))

main()
"""
    )
    told = {}
    for launcher in ("fused", "basic", "joblib"):
        subprocess.run(
            [sys.executable, "-c", REGISTERED, "app.py", "-m", f"hydra/launcher={launcher}",
             "hydra/sweeper=fused", "a=x,y", f"hydra.sweep.dir={launcher}"],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip
        paths = sorted(tmp_path.glob(f"{launcher}/*/told.json"))
        told[launcher] = [json.loads(path.read_text()) for path in paths]
    assert told["fused"] == told["basic"] == told["joblib"] == [["x", "x", 0, 0], ["y", "y", 1, 1]]


def test_registering_twice_keeps_the_first_classes() -> None:
    name = "hydra_plugins.dynsweep_fused.launcher.FusedLauncher"
    before = Plugins.instance().class_name_to_class[name]
    register()
    assert Plugins.instance().class_name_to_class[name] is before


def test_nothing_here_imports_torch() -> None:
    code = (
        "import sys; from dynsweep.launchers.registration import register; register();"
        "import dynsweep.launchers.launch, dynsweep.launchers.sweep;"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
