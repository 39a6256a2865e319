"""Fast composition against Hydra's own, job by job: configs, types, values, YAML, errors."""

from __future__ import annotations

import copy
import itertools
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException, ValidationError

from dynsweep.launchers.compose import Composed, Composer
from dynsweep.launchers.nodes import clone
from dynsweep.launchers.tree import TreeWriter


class Colour(Enum):
    RED = 1
    GREEN = 2


@dataclass
class Inner:
    depth: int = 3
    ratio: float = 0.5
    label: str = "inner"
    on: bool = True
    maybe: int | None = None
    colour: Colour = Colour.RED
    place: Path = Path("data/here")
    either: int | str = 1
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    extra: dict[str, int] = field(default_factory=lambda: {"a": 1})


@dataclass
class Typed:
    inner: Inner = field(default_factory=Inner)
    lr: float = 1.0
    twice: float = "${twice:${.lr}}"  # type: ignore[assignment]


FILES = {
    "config.yaml": """
defaults:
  - typed@typed
  - model: small
  - deep/group@deep: one
  - optional missing: nothing
  - _self_
a: 1
b: text
c: {d: 2.5, e: null, f: {g: [1, 2, {h: "${a}"}]}}
on: true
must: ???
to_a: ${a}
to_to_a: ${to_a}
to_c: ${c}
to_model: ${model.width}
relative: {x: 1, y: "${.x}", z: "${..a}_${b}"}
fixed: ${constant}
constant: 7
number: ${hydra:job.num}
where: ${hydra:runtime.output_dir}
named: ${hydra:job.override_dirname}
double: ${twice:${a}}
nested: ${relative.${chosen}}
chosen: x
stamp: ${now:%Y}
escaped: \\${a}
long: "a sentence that is long enough that YAML breaks it over lines, as it does past eighty"
numbers: {"1": one, "yes": 2}
numeric: "10"
hydra:
  job: {name: app}
  sweep: {dir: "out/${now:%Y}", subdir: "${hydra.job.num}"}
""",
    "model/small.yaml": "width: 10\nkind: small\nhalf: ${twice:${model.width}}\n",
    "model/large.yaml": "# @package model\nwidth: 1000\nkind: large\nlayers: [1, 2]\n",
    "deep/group/one.yaml": "value: 1\nname: ${model.kind}\n",
    "deep/group/two.yaml": "defaults: [one, _self_]\nvalue: 2\nmore: 3\n",
}


@pytest.fixture(autouse=True)
def _restore_singletons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    state = copy.deepcopy(Singleton.get_state())
    monkeypatch.chdir(tmp_path)
    OmegaConf.register_new_resolver("twice", lambda x: 2 * x, replace=True)
    yield
    Singleton.set_state(state)
    GlobalHydra.instance().clear()


class Both:
    """An app whose jobs are composed by Hydra and by us."""

    def __init__(self, folder: Path, files: dict[str, str], overrides: Sequence[str] = ()) -> None:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        ConfigStore.instance().store(name="typed", node=Typed)
        hydra = Hydra.create_main_hydra2("app", create_config_search_path(str(folder)))
        self.loader: Any = hydra.config_loader
        self.master = hydra.compose_config("config", list(overrides), RunMode.MULTIRUN)
        _ = self.master.hydra.sweep.dir  # as every sweeper does first
        self.composer = Composer(self.loader, self.master)
        self.tree = TreeWriter()

    def hydras(self, overrides: Sequence[str], number: int) -> tuple[DictConfig, DictConfig, Any]:
        """Config, task config and ``hydra_cfg`` as Hydra's launcher and run_job make them."""
        config = self.loader.load_sweep_config(self.master, list(overrides))
        with open_dict(config):
            config.hydra.job.id = number
            config.hydra.job.num = number
        HydraConfig.instance().set_config(config)
        parts = [str(OmegaConf.select(config, f"hydra.sweep.{k}")) for k in ("dir", "subdir")]
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = os.path.abspath(os.path.join(*parts))
        HydraConfig.instance().set_config(config)
        task = copy.deepcopy(config)
        with read_write(task), open_dict(task):
            del task["hydra"]
        return config, task, copy.deepcopy(HydraConfig.instance().cfg)

    def check_errors(self, overrides: Sequence[str]) -> None:
        """Both ways refuse a job with the same words."""
        with pytest.raises(Exception) as hydras:  # noqa: PT011
            self.loader.load_sweep_config(self.master, list(overrides))
        with pytest.raises(Exception) as ours:  # noqa: PT011
            self.composer.compose(overrides, 0)
        assert ours.type is hydras.type
        assert str(ours.value) == str(hydras.value)
        assert type(ours.value.__cause__) is type(hydras.value.__cause__)
        assert str(ours.value.__cause__) == str(hydras.value.__cause__)

    def check(self, overrides: Sequence[str], number: int = 0) -> Composed:
        """Compose a job both ways; everything about the two must be equal."""
        config, task, hydra = self.hydras(overrides, number)
        job = self.composer.compose(overrides, number)
        assert_same(job.config(), config)
        assert_same(job.task_config(), task)
        assert_same(job.hydra_config(), hydra)
        resolved, cause = None, None
        try:
            resolved = OmegaConf.to_container(task, resolve=True)
        except OmegaConfBaseException as error:
            cause = error
        HydraConfig.instance().cfg = None
        if cause is None:
            assert repr(job.settings()) == repr(resolved)
        else:
            with pytest.raises(ConfigCompositionException) as raised:
                job.settings()
            assert type(raised.value.__cause__) is type(cause)
        assert job.overrides == list(config.hydra.overrides._get_node("task")._iter_ex(False))
        self.tree.write(job)
        folder = Path(job.output_dir, ".hydra")
        assert (folder / "config.yaml").read_text() == OmegaConf.to_yaml(task)
        assert (folder / "hydra.yaml").read_text() == OmegaConf.to_yaml(hydra)
        told = OmegaConf.to_yaml(config.hydra.overrides._get_node("task"))
        assert (folder / "overrides.yaml").read_text() == told
        return job


def assert_same(ours: Any, hydras: Any, path: str = "") -> None:
    """Two OmegaConf nodes are equal, down to types, flags and keys."""
    assert type(ours) is type(hydras), path
    one, two = ours.__dict__["_metadata"].__dict__, hydras.__dict__["_metadata"].__dict__
    for name in one.keys() - {"resolver_cache"}:
        assert one[name] == two[name], (path, name)
    content, theirs = ours.__dict__.get("_content"), hydras.__dict__.get("_content")
    if isinstance(content, dict):
        assert list(content) == list(theirs), path
        for key in content:
            assert content[key].__dict__["_parent"] is ours, path
            assert_same(content[key], theirs[key], f"{path}.{key}")
    elif isinstance(content, list):
        assert len(content) == len(theirs), path
        for index, (item, other) in enumerate(zip(content, theirs, strict=True)):
            assert_same(item, other, f"{path}[{index}]")
    else:
        assert repr(ours._value()) == repr(hydras._value()), path


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path / "conf", FILES)


AXES = {
    "a": ["1", "2", "2.5", "word", "true", "'10'", "'quoted, text'", "1e-3", "-0.0", "nan", "007"],
    "b": [
        "other",
        '"it\'s"',
        "'  blanks '",
        "'x: y #z'",
        "a:b",
        "'null'",
        "null",
        "'???'",
        "on",
        "",
    ],
    "typed.lr": ["1", "0.5", "1e3", "'2.5'", "inf"],
    "typed.inner.depth": ["1", "'2'", "1_000"],
    "typed.inner.on": ["true", "false", "on", "'off'", "0"],
    "typed.inner.label": ["x", "10", "1.50", "true", "'12'", "null?"],
    "typed.inner.colour": ["GREEN", "RED", "1"],
    "typed.inner.place": ["/tmp/x", "here"],
    "typed.inner.either": ["2", "two"],
    "typed.inner.maybe": ["4", "null", "5"],
    "typed.inner.sizes": ["[1,2,3]", "[]"],
    "typed.inner.extra": ["{a:2}"],
    "model": ["small", "large"],
    "deep/group@deep": ["one", "two"],
    "model.width": ["20", "30"],
    "c.d": ["1", "x"],
    "c.e": ["1", "null"],
    "c.f.g": ["[3]", "3"],
    "relative.x": ["5", "'${a}'"],
    "chosen": ["x", "y"],
    "constant": ["8"],
    "+new": ["1", "x", "null", "[1,2]", "{k:v}"],
    "++a": ["3", "null", "x"],
    "+c.new": ["text", "2"],
    "+typed.inner.extra.z": ["1", "'2'"],
    "++new.deep": ["1", "2"],
    "~fixed": ["null"],
    "must": ["5", "here"],
    "to_a": ["5"],
    "numbers.yes": ["3"],
    "numeric": ["'11'", "12"],
    "long": ["'" + "another long sentence with words " * 4 + "'", "short"],
    "stamp": ["${now:%m}", "'${hydra:job.num}'"],
    "c": ["{d:1}", "3", "4", "null", "5"],
}


def job_of(rng: random.Random) -> list[str]:
    keys = rng.sample(list(AXES), rng.randint(0, 5))
    return [f"{key}={rng.choice(AXES[key])}" for key in keys]


class TestEquality:
    def test_every_value_of_every_axis(self, both: Both) -> None:
        for key, values in AXES.items():
            for number, value in enumerate(values):
                both.check([f"{key}={value}"], number)

    def test_random_jobs(self, both: Both) -> None:
        rng = random.Random(0)
        done = 0
        for number in range(60):
            overrides = job_of(rng)
            try:
                both.check(overrides, number)
                done += 1
            except HydraException:
                both.check_errors(overrides)
        assert done > 35

    def test_one_grid_of_groups_and_values(self, both: Both) -> None:
        axes = ["model=small,large", "a=1,2", "typed.lr=0.1,1", "typed.inner.label=x,10"]
        options = [[f"{k}={v}" for v in vs.split(",")] for k, vs in (x.split("=") for x in axes)]
        jobs = [list(job) for job in itertools.product(*options)]
        composed = [both.check(job, number) for number, job in enumerate(jobs)]
        assert len({id(job.shape) for job in composed}) == 2  # one per choice of groups
        # In another order than they were composed in, and again.
        for job, overrides in reversed(list(zip(composed, jobs, strict=True))):
            assert_same(job.config(), both.hydras(overrides, job.number)[0])

    def test_overrides_of_one_setting_by_another(self, both: Both) -> None:
        for first, second in [
            (["a=1", "a=2"], ["a=3", "a=4"]),
            (["c.d=1", "c={d:5}"], ["c.d=2", "c={d:5}"]),
            (["b=1", "~b"], ["b=2", "~b"]),
            (["~b=x", "b=x"], ["~b=text", "b=y"]),
            (["a=5", "++a.b=1"], ["a=6", "++a.b=2"]),
            (["a=5", "~to_a=5"], ["a=6", "~to_a=5"]),
        ]:
            for overrides in (first, second):
                try:
                    both.loader.load_sweep_config(both.master, overrides)
                except ConfigCompositionException:
                    both.check_errors(overrides)
                else:
                    both.check(overrides)

    def test_resolvers_that_cache_do_so_per_job(self, tmp_path: Path) -> None:
        numbers = itertools.count()
        OmegaConf.register_new_resolver("next", lambda: next(numbers), use_cache=True)
        both = Both(tmp_path / "conf", FILES, ["hydra.sweep.subdir='${next:}'"])
        jobs = [both.composer.compose([f"a={a}", "+n='${next:}'"], a) for a in range(3)]
        jobs += [both.composer.compose([f"a={a}"], a) for a in range(3)]
        assert len({job.output_dir for job in jobs}) == 6
        assert len({job.settings()["n"] for job in jobs[:3]}) == 3

    def test_jobs_do_not_share_what_they_may_change(self, both: Both) -> None:
        one, two = (both.composer.compose(["a=1"], number) for number in (0, 1))
        settings = one.settings()
        settings["c"]["f"]["g"].append(3)
        settings["typed"]["inner"]["sizes"].append(3)
        config = one.task_config()
        config.c.f.g.append(4)
        config.relative.x = 100
        OmegaConf.set_readonly(config.typed, True)
        assert two.settings()["c"]["f"]["g"] == [1, 2, {"h": 1}]
        assert two.settings()["typed"]["inner"]["sizes"] == [1, 2]
        assert_same(two.task_config(), both.hydras(["a=1"], 1)[1])

    @pytest.mark.parametrize(
        "subdir",
        [
            "${hydra.job.override_dirname}", "run_${hydra.job.num}", "${a}/${model.width}",
            "${hydra.job.id}", "${twice:${hydra.job.num}}", "w ${typed.lr} ${hydra:job.num}",
        ],
    )  # fmt: skip
    def test_directories_that_follow_the_job(self, tmp_path: Path, subdir: str) -> None:
        both = Both(tmp_path / "conf", FILES, [f"hydra.sweep.subdir='{subdir}'"])
        for number, a in enumerate([1, 2, "x y"]):
            both.check([f"a='{a}'", "model.width=5", "model=large"], number)

    def test_sweep_dir_that_follows_the_job(self, tmp_path: Path) -> None:
        both = Both(tmp_path / "conf", FILES, ["hydra.sweep.dir=out/${to_a}"])
        assert both.check(["a=1"], 0).output_dir == "out/1/0"
        assert both.check(["a=2"], 1).output_dir == "out/2/1"

    def test_override_dirname_settings(self, tmp_path: Path) -> None:
        naming = "hydra.job.config.override_dirname"
        both = Both(
            tmp_path / "conf",
            FILES,
            [f"{naming}.exclude_keys=[a]", f"{naming}.kv_sep=-", f"{naming}.item_sep=_"],
        )
        assert both.check(["b=x", "a=1", "model=large"], 3).dirname == "b-x_model-large"

    def test_overrides_of_hydra_itself(self, both: Both) -> None:
        for number in range(2):
            both.check(["a=2", f"hydra.job.name=other{number}", "hydra.verbose=true"], number)

    def test_dynsweeps_own_config(self) -> None:
        from dynsweep.config import register_schemas
        from dynsweep.launchers.registration import register

        register()
        register_schemas()
        hydra = Hydra.create_main_hydra2("x", create_config_search_path("pkg://dynsweep.conf"))
        master = hydra.compose_config("config", [], RunMode.MULTIRUN)
        both = Both.__new__(Both)
        both.loader, both.master = hydra.config_loader, master
        _ = master.hydra.sweep.dir
        both.composer, both.tree = Composer(both.loader, master), TreeWriter()
        for number, loss in enumerate(["static", "dynamical"]):
            both.check([f"loss={loss}", "loss.period=10", f"seed={number}"], number)


GOOD = ["typed.lr=1", "typed.inner.depth=1", "typed.inner.on=true", "+typed.inner.extra.z=1"]
BAD = [
    "typed.lr=x", "typed.inner.depth=1.5", "typed.inner.on=perhaps", "typed.inner=3",
    "typed.inner.colour=BLUE", "typed.inner.depth=null", "unknown=1", "typed.unknown=1",
    "model=huge", "+a=1", "~nothing", "~a=5", "a.b=1", "b=[1,2", "a=1,2", "a@pkg=1",
    "typed.inner.sizes=[x]", "++model=large", "hydra.unknown=1", "other/group=x",
    "typed.inner.extra={b:3}", "+typed.inner.extra.z=x", "+typed.inner.extra.z=1.5",
    "to_c.d=9", "typed.inner.depth=0x10",
]  # fmt: skip


class TestErrors:
    def test_the_same_exception(self, both: Both) -> None:
        for good in GOOD:
            both.composer.compose(["a=1", good], 0)
        for bad in BAD:
            both.check_errors(["a=1", bad])

    def test_a_bad_value_does_not_spoil_the_next_job(self, both: Both) -> None:
        both.check(["typed.lr=1", "typed.inner.depth=1"])
        with pytest.raises(ConfigCompositionException) as raised:
            both.composer.compose(["typed.lr=7", "typed.inner.depth=x"], 1)
        assert isinstance(raised.value.__cause__, ValidationError)
        both.check(["typed.lr=2", "typed.inner.depth=2"], 2)

    def test_an_interpolation_that_cannot_be_resolved(self, both: Both) -> None:
        both.composer.compose(["chosen=x"], 0).settings()
        job = both.composer.compose(["chosen=nowhere"], 1)
        with pytest.raises(ConfigCompositionException, match="chosen=nowhere") as raised:
            job.settings()
        assert isinstance(raised.value.__cause__, OmegaConfBaseException)


def test_clone_is_a_deep_copy() -> None:
    config = OmegaConf.structured(Typed)
    config = OmegaConf.create({"typed": config, "list": [1, [2, None], {"x": "${y}"}], "n": None})
    OmegaConf.set_struct(config, True)
    copied = clone(config)
    assert_same(copied, config)
    copied.typed.inner.either = "two"
    copied.list[1][0] = 5
    OmegaConf.set_readonly(copied.typed.inner, True)
    assert config.typed.inner.either == 1
    assert config.list[1][0] == 2
    assert not OmegaConf.is_readonly(config.typed.inner)
