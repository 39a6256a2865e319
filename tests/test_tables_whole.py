"""Tables hold all settings, captions name the unusual ones, and variance is split among them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import COMMAND, ENVIRONMENT
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sweeps import AMPLITUDES, PERIODS, plane, record, sweep, write

import dynsweep
from dynsweep import data
from dynsweep.analysis.columns import BROUGHT, unusual
from dynsweep.analysis.decisions import recorded_settings
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.statistics import cells
from dynsweep.analysis.variance import decompose, on_grid, ranked, shares
from dynsweep.cli.aggregate import aggregate
from dynsweep.config import SETTINGS
from dynsweep.figures import style
from dynsweep.figures.layout import facts
from dynsweep.page.payload import bars

FIRST = ["dataset", "model", "width", "lr", "period", "amplitude", "seed", "status"]
METRICS = ["train_accuracy", "validation_accuracy", "train_loss", "validation_loss"]
CONTRACT = [*FIRST, *METRICS, "seconds"]
# Six settings that are not at their defaults.
ODD: dict[str, Any] = {
    "noise": 0.4, "data_seed": 3, "momentum": 0.5, "nesterov": True, "precision": "float64",
    "optimizer__schedule__name": "cosine",
}  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A full grid by the command, with unusual settings and trajectories; what it printed."""
    place = tmp_path_factory.mktemp("real")
    words = ["-m", "steps=30", "model.width=8", "engine=reference", "loss.period=5,10"]
    words += ["loss.amplitude=1,10", "seed=0,1", "dataset.noise=0.4", "optimizer.momentum=0.5"]
    words += [
        "optimizer.schedule.name=linear",
        "observe=metrics",
        "observe.snapshots_every=10",
        "report=false",
    ]
    done = subprocess.run(
        [*COMMAND, *words, "hydra.sweep.dir=out"], cwd=place, env=ENVIRONMENT,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return place / "out", done.stdout


def test_the_table_of_the_command_holds_every_setting(real: tuple[Path, str]) -> None:
    directory, _ = real
    table = pd.read_csv(directory / "results.csv")
    names = table.columns.tolist()
    assert names[: len(CONTRACT)] == CONTRACT
    own = {one.column for one in SETTINGS.values() if one.identity and one.default != {}}
    others = {"dataset.augment", "dataset.validation", "model.depth", "model.widen"}
    others |= {f"dataset.{name}" for name in ("inputs", "label", "standardize")} | BROUGHT
    assert own - others <= set(names)
    assert table["dataset.noise"].eq(0.4).all()
    assert table["optimizer.momentum"].eq(0.5).all()
    assert table["optimizer.schedule.name"].eq("linear").all()
    # Of places, those in which the runs were in fact trained.
    assert {"engine", "device"} <= set(names)
    assert not {"checkpoint_minutes", "dataset.root", "observe.records"} & set(names)


def test_varied_settings_come_before_constant_ones(tmp_path: Path) -> None:
    runs = load_runs([sweep(tmp_path, {"momentum": [0, 0.5], "amplitude": [1, 5]}, noise=0.3)])
    aggregate([tmp_path], figures=False)
    names = pd.read_csv(tmp_path / "results.csv").columns.tolist()
    assert len(runs) == 4
    assert names[len(CONTRACT)] == "optimizer.momentum"
    assert names.index("dataset.noise") > names.index("optimizer.momentum")
    assert names[-5:] == ["engine", "device", "error", "number", "id"]


def test_a_setting_that_a_row_does_not_have_is_empty(tmp_path: Path) -> None:
    records = [record(0, noise=0.3), record(1, dataset="cifar10", model="myrtle5", augment=True)]
    table = dynsweep.load(write(tmp_path, records)).set_index("dataset")
    assert table["dataset.noise"].tolist()[::-1] == [0.3, pytest.approx(np.nan, nan_ok=True)]
    assert pd.isna(table.loc["spirals", "dataset.augment"])
    assert table.loc["cifar10", "dataset.augment"]
    assert pd.isna(table.loc["cifar10", "model.init"])


def test_directories_that_differ_in_noise_do_not_look_alike(tmp_path: Path) -> None:
    low, high = plane(tmp_path / "low", seeds=1), plane(tmp_path / "high", seeds=1, noise=0.5)
    each = [dynsweep.load(one) for one in (low, high)]
    assert [one["dataset.noise"].unique().tolist() for one in each] == [[0.2], [0.5]]
    tables = {one: cells(load_runs([one])) for one in (low, high)}
    captions = [facts(table, "train_accuracy") for table in tables.values()]
    assert captions[1] == captions[0].replace("steps", "steps, noise 0.5")
    ways: list[Any] = [
        [low, str(high)], (tmp_path / "*",), [f"{tmp_path}/**"], (low, [high]), iter([low, high])
    ]  # fmt: skip
    for way in ways:
        both = dynsweep.load(*way) if isinstance(way, tuple) else dynsweep.load(way)
        assert len(both) == 2 * len(PERIODS) * len(AMPLITUDES)
        assert set(both.groupby("sweep")["dataset.noise"].unique().map(tuple).items()) == {
            (str(low), (0.2,)), (str(high), (0.5,)),
        }  # fmt: skip
    aggregate([low, high], tmp_path / "both", figures=False)
    written = pd.read_csv(tmp_path / "both" / "results.csv")
    assert set(written["sweep"]) == {str(low), str(high)}
    assert "sweep" not in pd.read_csv(aggregate([low], figures=False).files[0])


def test_places_that_hold_nothing_are_told(tmp_path: Path) -> None:
    strange = plane(tmp_path / "noise=[1]", seeds=1)  # a pattern that is a directory's name
    assert len(dynsweep.load(strange)) == len(dynsweep.load([strange, strange]))
    with pytest.raises(ValueError, match=r"none\*: no directory with run records fits"):
        dynsweep.load(tmp_path / "none*")
    with pytest.raises(ValueError, match="give at least one"):
        dynsweep.load([])


def test_captions_name_what_is_unusual_in_all_runs(tmp_path: Path) -> None:
    axes = {"period": [5, 50], "amplitude": [1, 5], "weight_decay": [0, 0.1]}
    table = cells(load_runs([sweep(tmp_path, axes, counting="notebook", steps=70, **ODD)]))
    assert facts(table, "train_accuracy") == (
        "spirals, mlp, width 100, init standard, lr 1, 70 steps, counting notebook, momentum 0.5, "
        "nesterov true, schedule cosine, precision float64, noise 0.4, dataset seed 3, 1 seed"
    )
    # On a narrow figure lines end between settings.
    figure = style.title(Figure(figsize=(4, 3)), "Accuracy", facts(table, "train_accuracy"))
    lines = figure.texts[1].get_text().splitlines()
    assert all(line.endswith(",") for line in lines[:-1])
    assert 4 <= len(lines) == len([line for line in lines if len(line) <= 52])
    static = table[table["amplitude"] == 1]
    assert "loss.counting" not in unusual(static)  # means nothing to them
    assert list(unusual(table, ["steps", "precision"])) == [
        "loss.counting", "optimizer.momentum", "optimizer.nesterov", "optimizer.schedule.name",
        "dataset.noise", "dataset.seed",
    ]  # fmt: skip
    old = table.drop(columns="dataset.noise")
    assert "dataset.noise" not in unusual(old)
    assert unusual(table.head(0)) == {}


def test_the_title_of_a_trajectory_has_them_too(
    real: tuple[Path, str],
) -> None:
    from dynsweep.cli.curves import _title

    words = _title(load_runs([real[0]]).iloc[0])
    assert words.startswith("width = 8, lr = 1, T = 5, A = 1, seed = 0, ")
    assert {"noise = 0.4", "momentum = 0.5", "schedule = linear"} <= set(words.split(", "))


# ---- what a run left behind ---------------------------------------------------------------


def test_weights_of_a_row_predict_what_the_row_says(real: tuple[Path, str]) -> None:
    from dynsweep.analysis.decisions import predictor

    results = dynsweep.load(real[0])
    settings = recorded_settings(load_runs([real[0]]))
    for _, run in results.iterrows():
        weights = dynsweep.load_weights(run)
        points = data.load(settings[run["id"]].dataset)
        predicted = predictor(settings[run["id"]], weights)(points.train_inputs)
        assert (predicted == points.train_labels).mean() == pytest.approx(run["train_accuracy"])
    snapshots = dynsweep.load_snapshots(run)
    assert sorted(snapshots) == [0, 10, 20, 30]
    for name, values in weights.items():
        np.testing.assert_array_equal(snapshots[30][name], values)


def test_the_trajectory_of_a_row_ends_where_the_row_does(real: tuple[Path, str]) -> None:
    results = dynsweep.load(real[0])
    for _, run in results.iterrows():
        steps = dynsweep.load_trajectory(run)
        assert steps["step"].iloc[[0, -1]].tolist() == [0, 30]
        assert steps["train_accuracy"].iloc[-1] == pytest.approx(run["train_accuracy"])
    assert "id" not in steps


def test_what_is_no_row_or_has_nothing_takes_one_line(tmp_path: Path) -> None:
    run = dynsweep.load(plane(tmp_path, seeds=1)).iloc[0]
    for read in (dynsweep.load_weights, dynsweep.load_trajectory, dynsweep.load_snapshots):
        with pytest.raises(ValueError, match=r"^run: must be a row of load\(\), such as load"):
            read(run.drop("id"))
        with pytest.raises(ValueError, match=f"^run {run['id']}: no [a-z]+ recorded$"):
            read(run)
    lost = run.copy()
    lost["weights"] = "lost.npz"
    with pytest.raises(dynsweep.DynsweepError, match=r"lost\.npz: is missing"):
        dynsweep.load_weights(lost)
    lost["trajectory"] = "../runs/lost.csv.gz"
    with pytest.raises(dynsweep.DynsweepError, match="outside the folder"):
        dynsweep.load_trajectory(lost)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"a": [1]}), "there is no column dataset"),
        (pd.DataFrame(), "no runs"),
        ({"period": [1]}, "as load() gives it, not dict"),
    ],
)
def test_a_table_that_is_not_of_runs_is_a_value_error(table: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^results: ") as found:
        dynsweep.phase_diagram(table)
    assert message in str(found.value)
    assert "\n" not in str(found.value)
    assert not plt.get_fignums()


def test_cells_and_texts_are_no_runs(tmp_path: Path) -> None:
    results = dynsweep.load(plane(tmp_path, seeds=1))
    for wrong, message in (
        (cells(load_runs([tmp_path])), "there is no column seed"),
        (results.assign(train_loss="low"), "train_loss holds no numbers"),
        (results.drop(columns="status"), "there is no column status"),
    ):
        with pytest.raises(ValueError, match=message):
            dynsweep.phase_diagram(wrong)


def test_the_package_shows_its_public_names_only() -> None:
    code = "import dynsweep; print(dir(dynsweep)); from dynsweep import *; load_weights"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str(sorted(dynsweep.__all__))
    assert {"load", "load_weights", "load_trajectory", "phase_diagram"} <= set(dir(dynsweep))
    assert all(getattr(dynsweep, name).__doc__ for name in dynsweep.__all__)


# ---- what matters -------------------------------------------------------------------------


def of(parts: Iterator[tuple[str, tuple[int, ...], float]]) -> dict[Any, float]:
    return {axes or effect: value for effect, axes, value in parts}


def test_shares_of_a_table_computed_by_hand() -> None:
    # Means 1, 3 / 5, 11: the grid's is 5, rows are -3 and 3 off, columns -2 and 2; the rest is
    # 1, -1, -1, 1. Two seeds, -0.5 and 0.5 off everywhere: a variance (n - 1) of 0.5.
    means = np.array([[1.0, 3.0], [5.0, 11.0]])
    found = of(decompose(np.stack([means - 0.5, means + 0.5])))
    # What seeds have in common everywhere is no noise of any effect.
    assert found == pytest.approx({(0,): 9, (1,): 4, (0, 1): 1, "seeds": 0.5})
    # Noise in one place: rows are estimated as -3 - d and -3 + d, whose product is 9 - d^2.
    noise = np.array([[0.4, 0.0], [0.0, 0.0]])
    found = of(decompose(np.stack([means - noise, means + noise])))
    parts = [9 - 0.01, 4 - 0.01, 1 - 0.01, 2 * 0.4**2 / 4]
    assert list(found.values()) == pytest.approx(parts)
    alone = of(decompose(means[None]))
    assert alone == pytest.approx({(0,): 9, (1,): 4, (0, 1): 1})


def brute(values: np.ndarray[Any, Any]) -> dict[Any, float]:
    """By projections on indicator functions, and all pairs of seeds, one by one."""
    seeds, *shape = values.shape

    def project(kept: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Onto functions of these settings, out of functions of one index of the grid."""
        places = np.array(list(itertools.product(*map(range, shape))))
        keys = [tuple(place[list(kept)]) for place in places]
        same = np.array([[one == other for other in keys] for one in keys], dtype=float)
        return same / same.sum(axis=1, keepdims=True)

    every = tuple(range(len(shape)))
    flat = values.reshape(seeds, -1)
    found: dict[Any, float] = {}
    for count in range(1, len(shape) + 1):
        for kept in itertools.combinations(every, count):
            effect = sum(
                (-1) ** (count - size) * project(inner)
                for size in range(count + 1)
                for inner in itertools.combinations(kept, size)
            )
            products = [
                (effect @ flat[s]) @ (effect @ flat[t]) / flat.shape[1]
                for s, t in itertools.permutations(range(seeds), 2)
            ]
            key = kept if count < 3 else "higher"
            found[key] = found.get(key, 0) + float(np.mean(products))
    found["seeds"] = float(np.mean([np.var(column, ddof=1) for column in flat.T]))
    return found


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (2, 2, 3, 2)])
def test_shares_are_those_of_projections(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random((3, *shape))
    assert of(decompose(values)) == pytest.approx(brute(values))


def test_estimates_have_no_bias_whatever_seeds_share() -> None:
    """Over many draws of noise with a part of each seed in all cells, and unequal scatter."""
    rng = np.random.default_rng(1)
    means = np.array([[0.0, 1.0, 1.0], [0.0, 0.5, 2.0]])
    scatter = np.array([[0.1, 1.0, 0.5], [2.0, 0.1, 0.3]])
    found = []
    for _ in range(4000):
        noise = scatter * rng.standard_normal((3, 2, 3)) + rng.standard_normal((3, 1, 1))
        found.append(list(of(decompose(means + noise)).values()))
    truth = list(of(decompose(means[None])).values())
    error = np.std(found, axis=0) / len(found) ** 0.5
    off = (np.mean(found, axis=0) - [*truth, (scatter**2).mean() + 1]) / error
    assert np.abs(off).max() < 4
    # Squares of means would be far off.
    assert np.mean([row[0] for row in found]) < truth[0] + 0.1


def test_shares_of_a_sweep_add_up(tmp_path: Path) -> None:
    axes = {"period": PERIODS, "amplitude": AMPLITUDES, "width": [50, 100], "seed": range(3)}
    runs = load_runs([sweep(tmp_path, axes)])
    table, notes = shares(runs, cells(runs))
    assert not notes
    for metric, rows in table.groupby("metric"):
        assert rows["share"].sum() == pytest.approx(1)
        assert rows["sobol_index"].sum() == pytest.approx(1)
        assert len(rows) == 3 + 3 + 1 + 1
        # The first-order index by pandas: the variance of conditional means, here of one seed.
        one = runs[runs["seed"] == 0].rename(columns={metric: "value"})
        alone, _ = shares(runs[runs["seed"] == 0], cells(runs[runs["seed"] == 0]))
        for name in ("period", "amplitude", "width"):
            index = one.groupby(name)["value"].mean().var(ddof=0) / one["value"].var(ddof=0)
            row = alone[(alone["metric"] == metric) & (alone["setting"] == name)].iloc[0]
            assert row["effect"] == "main"
            assert row["sobol_index"] == pytest.approx(index)
    shown = ranked(table)
    assert shown.index[-1] == "seeds"
    assert shown.sum().tolist() == pytest.approx([1, 1])


def test_the_static_loss_stands_at_all_periods(tmp_path: Path) -> None:
    everywhere = load_runs([plane(tmp_path / "a")])
    axes = {"period": PERIODS, "amplitude": AMPLITUDES[1:], "seed": range(3)}
    sweep(tmp_path / "b", axes)
    # More seeds than the others, at a period that is not of the grid.
    once = load_runs([sweep(tmp_path / "b", {"seed": range(5)}, amplitude=1, period=77)])
    table, notes = shares(once, cells(once))
    pd.testing.assert_frame_equal(table, shares(everywhere, cells(everywhere))[0])
    assert not notes
    values, _ = on_grid(once, ["period", "amplitude"], "train_accuracy")
    assert np.ptp(values[:, :, 0], axis=1).tolist() == [0, 0, 0]
    # A seed that only some cells have.
    more = load_runs([sweep(tmp_path / "b", {"period": PERIODS}, amplitude=3, seed=3)])
    again, notes = shares(more, cells(more))
    pd.testing.assert_frame_equal(again, table)
    assert notes == ["Shares of variance: of the 3 of 4 seeds in all cells."]


def test_an_incomplete_grid_says_so(tmp_path: Path) -> None:
    def status(point: dict[str, Any]) -> str | None:
        if point["period"] == 10 and point["amplitude"] == 40:
            return "failed"
        return None if point["period"] == 30 and point["amplitude"] == 40 else "completed"

    axes = {"period": PERIODS, "amplitude": AMPLITUDES, "seed": range(2)}
    plane(tmp_path / "full", seeds=1)
    assert (aggregate([tmp_path / "full"], figures=False).output / "variance.csv").exists()
    summary = aggregate([sweep(tmp_path / "part", axes, status)], figures=False)
    line = "No shares of variance: the grid is not full, 2 of 20 cells without a result."
    assert summary.text().count(line) == 1
    assert "share of the variance" not in summary.text()
    assert not (tmp_path / "part" / "variance.csv").exists()
    # A grid that has grown: what was true of the smaller one does not stay.
    sweep(tmp_path / "full", {"period": PERIODS}, amplitude=99, seed=7)
    aggregate([tmp_path / "full"], figures=False)
    assert (tmp_path / "full" / "variance.csv").read_text().count("\n") == 1


def test_the_page_has_the_shares_or_the_reason(tmp_path: Path) -> None:
    runs = load_runs([plane(tmp_path)])
    variance = shares(runs, cells(runs))
    found = bars(variance)
    assert found["effects"] == [
        "amplitude A", "period T", "period T, amplitude A together", "seeds",
    ]  # fmt: skip
    assert list(found["shares"]) == ["training accuracy", "validation accuracy"]
    assert [sum(parts) for parts in found["shares"].values()] == pytest.approx([1, 1], abs=1e-4)
    part = runs[~((runs["period"] == 10) & (runs["amplitude"] == 3))]
    found = bars(shares(part, cells(part)))
    assert not found["effects"]
    assert "the grid is not full, 1 of 20 cells" in found["notes"][0]


@pytest.mark.parametrize(
    ("axes", "note"),
    [
        ({"period": PERIODS, "seed": [0]}, "of one seed, whose noise passes for effects"),
        ({"seed": range(3)}, ""),
    ],
)
def test_one_seed_is_told_and_one_cell_needs_no_words(
    tmp_path: Path, axes: dict[str, Any], note: str
) -> None:
    runs = load_runs([sweep(tmp_path, axes)])
    table, notes = shares(runs, cells(runs))
    assert table.empty == (not note)
    assert [note in line for line in notes] == [True] * bool(note)
    assert not table["effect"].eq("seeds").any()


def test_settings_that_go_together_and_seeds_that_do_not(tmp_path: Path) -> None:
    records = [
        record(number, width=width, lr=lr, seed=seed, period=period)
        for number, (period, seed, (width, lr)) in enumerate(
            itertools.product(PERIODS, range(2), [(50, 1), (100, 2)])
        )
    ]
    runs = load_runs([write(tmp_path / "tied", records)])
    table, notes = shares(runs, cells(runs))
    assert set(table["setting"]) == {"width", "period", ""}
    assert notes == ["No share of variance of their own: lr; others decide them."]
    apart = [record(n, period=period, seed=n) for n, period in enumerate(PERIODS)]
    runs = load_runs([write(tmp_path / "apart", apart)])
    table, notes = shares(runs, cells(runs))
    assert table.empty
    assert notes == ["No shares of variance: no seed has a result in all 5 cells."]


def test_the_command_tells_what_matters(real: tuple[Path, str]) -> None:
    directory, printed = real
    assert "variance.csv" in printed
    lines = printed[printed.index("share of the variance") :].splitlines()
    names = [line[:42].strip() for line in lines[:5]]
    assert names[-1] == "seeds"
    assert {"period T", "amplitude A", "period T, amplitude A together"} <= set(names)
    assert max(map(len, lines[:5])) <= 96
    table = pd.read_csv(directory / "variance.csv")
    runs = pd.read_csv(directory / "results.csv")
    for metric, rows in table.groupby("metric"):
        assert rows["share"].sum() == pytest.approx(1)
        wide = runs.pivot(index="seed", columns=["period", "amplitude"], values=metric)
        values = wide.to_numpy().reshape(2, 2, 2)
        assert rows["variance"].tolist() == pytest.approx(list(of(decompose(values)).values()))
