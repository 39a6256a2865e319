"""Quick composition against Hydra's own, job by job: settings, configs for callbacks, errors."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from dynsweep.config import flatten, register_schemas, typed
from dynsweep.launchers import register
from dynsweep.launchers.compose import Composer, hydra_config, without_hydra


class App:
    """dynsweep's jobs, composed by Hydra and by us."""

    def __init__(self, *overrides: str) -> None:
        hydra = Hydra.create_main_hydra2("app", create_config_search_path("pkg://dynsweep.conf"))
        self.loader = hydra.config_loader
        self.master = hydra.compose_config("config", list(overrides), RunMode.MULTIRUN)
        _ = self.master.hydra.sweep.dir  # as every sweeper does first
        self.composer = Composer(self.loader, self.master)
        self.composed = 0
        load = self.loader.load_sweep_config

        def counted(*arguments: Any) -> Any:
            self.composed += 1
            return load(*arguments)

        self.load, self.loader.load_sweep_config = load, counted  # type: ignore[method-assign]

    def hydras(self, overrides: list[str], number: int = 0) -> Any:
        """The whole config of a job, as Hydra's launchers have it."""
        config = self.load(self.master, overrides)
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return config

    def check(self, overrides: list[str], number: int = 0) -> None:
        """Compose a job both ways; the two are equal down to the types of values."""
        run = self.composer.run(number, overrides)
        with hydra_config(self.hydras(overrides, number)) as config:
            plain = OmegaConf.to_container(without_hydra(config), resolve=True)
        assert isinstance(plain, dict)
        assert repr(flatten(run.settings)) == repr(flatten(plain))
        assert (run.number, run.overrides) == (number, overrides)

    def check_error(self, overrides: list[str]) -> None:
        """Both ways refuse a job with the same words."""
        with pytest.raises(Exception) as hydras:  # noqa: PT011
            typed(without_hydra(self.load(self.master, overrides)))
        with pytest.raises(Exception) as ours:  # noqa: PT011
            self.composer.run(0, overrides)
        assert ours.type is hydras.type
        assert str(ours.value) == str(hydras.value)
        assert str(ours.value.__cause__) == str(hydras.value.__cause__)


@pytest.fixture(autouse=True)
def _restore_singletons() -> Iterator[None]:
    state = copy.deepcopy(Singleton.get_state())
    register()
    register_schemas()
    yield
    Singleton.set_state(state)
    GlobalHydra.instance().clear()


def test_the_default_preset_is_composed_once() -> None:
    app = App("+sweep=period_amplitude")
    periods, amplitudes = (10, 113, 7240), (1, 1.5, 40)
    grid = itertools.product(periods, amplitudes, range(3))
    for number, (period, amplitude, seed) in enumerate(grid):
        words = [f"loss.period={period}", f"loss.amplitude={amplitude}", f"seed={seed}"]
        app.check(["+sweep=period_amplitude", *words], number)
    assert app.composed == 1


def test_once_for_each_choice_of_groups() -> None:
    app = App()
    axes = [
        ["model=mlp", "model=wide_resnet"], ["loss=static", "loss=mse"],
        ["dataset=spirals", "dataset=cifar10"], ["optimizer.lr=0.5", "optimizer.lr=1"],
        ["precision=float64", "precision=float32"],
    ]  # fmt: skip
    for number, job in enumerate(itertools.product(*axes)):
        app.check(list(job), number)
    assert app.composed == 2 * 2 * 2


VALUES = [
    "loss.amplitude=3", "loss.amplitude=1e2", "loss.amplitude=2.50", "loss.amplitude='7'",
    "loss.period=1_000", "loss.counting=notebook", "loss.counting='notebook'",
    "optimizer.batch_size=50", "optimizer.batch_size=null", "optimizer.nesterov=true",
    "optimizer.nesterov=on", "dataset.noise=0", "dataset.noise=-0.0", "epochs=2", "seed=7",
    "optimizer.schedule.milestones=[0.5,0.75]", "optimizer.schedule.name=cosine",
    "++seed=3", "steps='${oc.decode:\"5\"}'", "seed=${steps}", "loss.period=${steps}",
    "steps=${hydra:job.num}", "hydra.job.name=other", "++loss.period=4", "device=cpu",
    "engine=reference", "optimizer=minibatch", "observe=curvature", "objective=train_loss",
]  # fmt: skip


@pytest.mark.slow
def test_every_kind_of_value() -> None:
    app = App()
    for number, text in enumerate(VALUES):
        app.check([text], number)
    for pair in itertools.pairwise(VALUES):
        app.check(list(pair))


def test_values_of_a_group_that_the_job_chooses() -> None:
    app = App()
    for depth in (10, 16, 22):
        app.check(["model=wide_resnet", f"model.depth={depth}", "loss.period=5"])
        app.check([f"model.depth={depth}", "model=wide_resnet"])
    assert app.composed == 1


def test_settings_that_follow_from_others() -> None:
    app = App("loss.period=${steps}")
    app.check(["steps=70", "loss.amplitude=3"], 1)
    app.check(["steps=80"], 2)


GOOD = ["loss.amplitude=3", "loss.period=5", "optimizer.nesterov=true"]
BAD = [
    "loss.amplitude=x", "loss.period=1.5", "optimizer.nesterov=perhaps", "loss=3", "loss=huge",
    "loss.period=null", "unknown=1", "loss.unknown=1", "+seed=1", "~nothing", "seed.b=1",
    "seed=[1,2", "loss@pkg=1", "optimizer.schedule.milestones=[x]", "hydra.unknown=1",
    "other/group=x", "~model", "+model.depth=3", "loss.period=0x10", "loss.period=${nothing}",
]  # fmt: skip


def test_errors_are_hydras_own() -> None:
    app = App()
    for good in GOOD:
        app.composer.run(0, ["seed=1", good])
    for bad in BAD:
        app.check_error(["seed=1", bad])
    for good in GOOD:  # a bad value does not spoil the next job
        app.check(["seed=2", good])


def test_runs_share_nothing_that_can_change() -> None:
    app = App()
    one, two = (app.composer.run(number, ["seed=1", "loss.period=5"]) for number in (0, 1))
    one.settings.loss.period = 7
    one.settings.optimizer = None  # type: ignore[assignment]
    assert two.settings.loss.period == 5
    app.check(["seed=1", "loss.period=5"])
    app.check(["seed=2"])


def test_configs_for_callbacks_are_those_of_jobs() -> None:
    app = App("hydra.job.name=named")
    for number, job in enumerate(
        (["seed=1", "loss.period=5"], ["model=myrtle5", "seed=2"], ["seed=${steps}"], [])
    ):
        ours = app.composer.config(app.composer.run(number, job))
        hydras = app.hydras(job, number)
        hydras.hydra.runtime.output_dir = ours.hydra.runtime.output_dir
        assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(hydras)
        with hydra_config(ours):
            assert HydraConfig.get().job.num == number
    assert HydraConfig.instance().cfg is None
