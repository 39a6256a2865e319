"""``hydra/sweeper=adaptive``: real small sweeps, killed and gone on with, made finer."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dynsweep.analysis.frame import load_runs
from dynsweep.config import Run
from dynsweep.config.launchers import AdaptiveSweeperConf
from dynsweep.launchers.cells import Seeds
from dynsweep.launchers.lattice import Lattice, Point, halved
from dynsweep.launchers.rounds import Rounds
from dynsweep.store import read

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]
GRID = ["-m", "loss.period=10,20,40", "loss.amplitude=1,5,20", "steps=50", "model.width=8"]
QUICK = [*GRID, "report=false", "save_weights=false", "hydra/sweeper=adaptive"]
SETTINGS = ["hydra.sweeper.error=0.012", "hydra.sweeper.max_seeds=8", "hydra.sweep.dir=d"]


def asked(directory: Path) -> list[dict[str, list[int]]]:
    """The seeds of every round, by cell."""
    lines = (directory / "rounds.jsonl").read_text().splitlines()
    return [json.loads(line)["asked"] for line in lines]


def seeds(directory: Path) -> dict[tuple[int, float], int]:
    runs = load_runs([directory])
    return runs.groupby(["period", "amplitude"])["seed"].count().to_dict()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished adaptive sweep and what its command said."""
    from conftest import COMMAND, ENVIRONMENT

    root = tmp_path_factory.mktemp("adaptive")
    done = subprocess.run(
        [*COMMAND, *QUICK, *SETTINGS], cwd=root, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return root / "d", done.stdout


def test_seeds_go_where_the_error_is_large(swept: tuple[Path, str]) -> None:
    directory, said = swept
    table = pd.read_csv(directory / "cells.csv")
    assert len(table) == 7  # one of the static loss
    error = table["validation_accuracy_error"]
    assert ((error <= 0.012 + 1e-9) | (table["seeds"] == 8)).all()
    assert table["seeds"].min() >= 3
    assert table["seeds"].nunique() > 1
    runs = pd.read_csv(directory / "results.csv")
    assert sorted(runs["number"]) == list(range(len(runs)))
    assert all(set(part["seed"]) == set(range(len(part))) for _, part in runs.groupby(
        ["period", "amplitude"]
    ))  # fmt: skip
    assert "Round 1: 21 runs for 7 cells" in said
    assert "21 runs so far" in said
    assert "of 7 cells above the error 0.012 (largest 0.0" in said
    assert f"{len(runs)} runs in 7 cells; " in said


@pytest.mark.slow
def test_a_finished_sweep_trains_nothing(
    swept: tuple[Path, str], tmp_path: Path, dynsweep: Dynsweep
) -> None:
    directory = Path(shutil.copytree(swept[0], tmp_path / "d"))
    before = len(list(read(directory)))
    done = dynsweep(*QUICK, *SETTINGS)
    assert done.returncode == 0
    assert "Round" not in done.stdout
    assert len(list(read(directory))) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "kept",
    [pytest.param(5, marks=pytest.mark.slow), 0.6, pytest.param(0.9, marks=pytest.mark.slow)],
)
def test_one_that_was_killed_decides_the_same_again(
    swept: tuple[Path, str], tmp_path: Path, dynsweep: Dynsweep, kept: float
) -> None:
    """Of its records only the first are left, and the rounds up to the one that these are of."""
    whole = swept[0]
    directory = tmp_path / "d"
    shutil.copytree(whole, directory)
    entries = sorted(read(directory), key=lambda entry: entry["number"])
    count = int(kept if kept > 1 else kept * len(entries))
    lost = {entry["id"] for entry in entries[count:]}
    for records in (directory / "runs").glob("*.jsonl"):
        lines = records.read_text().splitlines(keepends=True)
        left = [line for line in lines if json.loads(line).get("id") not in lost]
        records.write_text("".join(left))
    rounds = asked(whole)
    totals = np.cumsum([sum(map(len, one.values())) for one in rounds])
    begun = int(np.searchsorted(totals, count, side="right")) + 1
    text = (directory / "rounds.jsonl").read_text().splitlines(keepends=True)
    (directory / "rounds.jsonl").write_text("".join(text[:begun]))
    assert len(list(read(directory))) == count
    done = dynsweep(*QUICK, *SETTINGS)
    assert done.returncode == 0, done.stderr
    assert seeds(directory) == seeds(whole)
    again = [one for index, one in enumerate(asked(directory)) if index != begun]
    assert again == rounds  # the one it was killed in is noted twice
    assert f"Round {begun}: " in done.stdout


@pytest.mark.slow
def test_a_grid_is_made_more_precise_and_finer_in_its_own_directory(
    tmp_path: Path, dynsweep: Dynsweep
) -> None:
    grid = [*GRID, "seed=range(2,5)", "report=false", "hydra.sweep.dir=d"]
    assert dynsweep(*grid).returncode == 0
    assert len(list(read(tmp_path / "d"))) == 27
    finer = ["hydra.sweeper.refine=1", "hydra.sweeper.contrast=0.001", "hydra.sweeper.error=null"]
    done = dynsweep(*QUICK, *finer, "seed=range(2,5)", "hydra.sweep.dir=d")
    assert done.returncode == 0, done.stderr
    assert "cells" in done.stdout
    table = pd.read_csv(tmp_path / "d" / "cells.csv")
    new = table[table["seeds"] == 3]
    assert set(new["period"]) <= {10, 14, 20, 28, 40}
    assert set(new["amplitude"]) <= {1, 2.236, 5, 10, 20}
    assert set(table["period"]) - {10, 20, 40}
    assert (pd.read_csv(tmp_path / "d" / "results.csv")["seed"].between(2, 4)).all()
    assert len(table) == len(table.drop_duplicates(["period", "amplitude"]))


BAD = [
    (["hydra.sweeper.runs=20"], "runs=20: must be at least 21: 3 seeds in each of 7 cells"),
    (["hydra.sweeper.error=0"], "hydra.sweeper.error=0.0: must be a finite number above 0"),
    (["hydra.sweeper.max_seeds=2"], "max_seeds=2: must be at least hydra.sweeper.min_seeds=3"),
    (["hydra.sweeper.refine=9"], "hydra.sweeper.refine=9: must lie between 0 and 6"),
    (["hydra.sweeper.sharp=1"], "sharp"),
    (["seed=x"], "seed"),
    (["loss.period=0,10"], "loss.period=0: must be"),
]


@pytest.mark.parametrize(
    ("words", "told"), [BAD[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in BAD[1:])]
)
def test_a_bad_setting_is_told_before_anything(
    tmp_path: Path, dynsweep: Dynsweep, words: list[str], told: str
) -> None:
    refused = dynsweep(*QUICK, *words, "hydra.sweep.dir=d")
    assert refused.returncode == 2
    assert told in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_runs_bound_the_sweep(tmp_path: Path, dynsweep: Dynsweep) -> None:
    bound = ["hydra.sweeper.error=0.0001", "hydra.sweeper.runs=40", "hydra.sweep.dir=d"]
    told = dynsweep(*QUICK, *bound, "dry_run=true")
    assert "21 to train" in told.stdout
    assert "the next round" in told.stdout
    assert not (tmp_path / "d").exists()
    done = dynsweep(*QUICK, *bound)
    assert done.returncode == 0, done.stderr
    assert len(list(read(tmp_path / "d"))) == 40
    assert "hydra.sweeper.runs=40 are spent" in done.stdout


def test_values_in_between_are_in_the_scale_of_the_axis() -> None:
    assert halved([10, 20, 40], 2, whole=True) == [10, 12, 14, 17, 20, 24, 28, 33, 40]
    assert halved([1.0, 4.0, 16.0, 64.0], 1, whole=False) == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    assert halved([0.1, 0.2, 0.3], 1, whole=False) == [0.1, 0.15, 0.2, 0.25, 0.3]
    assert halved([1, 2, 4], 2, whole=True) == [1, None, None, None, 2, None, 3, None, 4]


class Simulated:
    """Rounds of a grid whose records are a function of the cell and the seed."""

    def __init__(
        self, tmp_path: Path, make_run: Callable[..., Any],
        value: Callable[[Any, int], float], **conf: Any,
    ) -> None:  # fmt: skip
        periods, amplitudes = [10, 40, 160, 640], [1, 4, 16, 64]
        jobs = [[f"loss.period={p}", f"loss.amplitude={a}"] for p in periods for a in amplitudes]

        def compose(job: list[str]) -> Run:
            words = dict(word.split("=") for word in job)
            period, amplitude = words["loss.period"], float(words["loss.amplitude"])
            return Run(0, job, make_run(period=int(period), amplitude=amplitude))

        settings = AdaptiveSweeperConf(**conf)
        self.lattice = Lattice(jobs, [compose(job) for job in jobs], settings.refine, compose)
        self.rounds = Rounds(self.lattice, settings, tmp_path, "train_accuracy", 0, 50)
        self.value, self.records = value, dict[str, dict[str, Any]]()

    def go(self, monkeypatch: pytest.MonkeyPatch) -> list[Seeds]:
        """All rounds."""
        monkeypatch.setattr("dynsweep.launchers.cells.latest", lambda _: self.records)
        found = []
        while asked := self.rounds.next().seeds:
            found.append(asked)
            for point, seeds in asked.items():
                run = self.lattice.run(point)
                assert run is not None
                for seed in seeds:
                    loss = run.settings.loss
                    config = {
                        "dataset.name": "spirals", "model.name": "mlp", "seed": seed,
                        "loss.period": loss.period, "loss.amplitude": loss.amplitude,
                    }  # fmt: skip
                    self.records[f"{point} {seed}"] = {
                        "config": config, "status": "completed", "seconds": 1.0,
                        "train_accuracy": self.value(loss, seed),
                    }  # fmt: skip
        return found


def learns(loss: Any, seed: int) -> float:
    """All seeds below a period of 100 and an amplitude of 10, by chance beside it."""
    probability = 1 / (1 + np.exp(np.log(loss.period * loss.amplitude / 1000) / 0.3))
    chance = np.random.default_rng([loss.period, int(100 * loss.amplitude), seed]).random()
    return 0.95 if chance < probability else 0.5


def test_cells_are_split_where_neighbours_differ(
    tmp_path: Path, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Simulated(tmp_path, make_run, learns, error=0.1, refine=2, max_seeds=30)
    rounds = sweep.go(monkeypatch)
    points = {point for asked in rounds for point in asked}
    assert set(sweep.lattice.grid) <= points
    settings = [run.settings.loss for point in points if (run := sweep.lattice.run(point))]
    inside = [one.period * one.amplitude for one in settings]
    fine = [product for product, point in zip(inside, points, strict=True)
            if point.x % 4 or point.y % 4]  # fmt: skip
    assert len(fine) > 30
    assert len(points) < 0.8 * 13 * 12
    assert np.median(np.abs(np.log(np.array(fine) / 1000))) < 1.5
    # The static loss is one cell, at the first period.
    static = [point for point, one in zip(points, settings, strict=True) if one.amplitude == 1]
    assert static == [Point(0, 0, 0)]


def test_rounds_are_as_large_as_the_machine_trains_at_once(
    tmp_path: Path, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Simulated(tmp_path, make_run, learns, error=0.02).go(monkeypatch)
    sizes = [sum(map(len, asked.values())) for asked in rounds]
    assert sizes[0] == 13 * 3  # nothing is known that the rest of the batch could go by
    assert max(sizes) == 50
    assert sizes[1] == 50


def test_the_work_goes_where_a_second_gains_most(
    tmp_path: Path, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Simulated(tmp_path, make_run, learns, error=0.01, runs=120)
    rounds = sweep.go(monkeypatch)
    counts: dict[Point, int] = {}
    for asked in rounds:
        for point, seeds in asked.items():
            counts[point] = counts.get(point, 0) + len(seeds)
    assert sum(counts.values()) == 120
    static = counts.pop(Point(0, 0, 0))
    assert static >= 0.7 * max(counts.values())  # seeds to pair, from round to round
    means = {point: np.std([r["train_accuracy"] for key, r in sweep.records.items()
                            if key.startswith(f"{point} ")]) for point in counts}  # fmt: skip
    noisy = [counts[point] for point, deviation in means.items() if deviation > 0.1]
    quiet = [counts[point] for point, deviation in means.items() if deviation <= 0.1]
    assert np.mean(noisy) > 1.2 * np.mean(quiet)
