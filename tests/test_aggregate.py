"""Tables of the aggregator: statistics against scipy, files, and the command."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sweeps import AMPLITUDES, PERIODS, plane, record, sweep, write

from dynsweep.analysis.frame import load_frame
from dynsweep.analysis.statistics import cells, corrected, paired_p_value
from dynsweep.cli import aggregate_command as cli
from dynsweep.cli.aggregate import aggregate
from dynsweep.errors import AnalysisError

FIRST = (
    "dataset,model,width,lr,period,amplitude,seed,status,train_accuracy,validation_accuracy,"
    "train_loss,validation_loss,seconds"
)


def table(directory: Path) -> pd.DataFrame:
    return cells(load_frame([directory]))


def cell(of: pd.DataFrame, **settings: float) -> pd.Series:
    for name, value in settings.items():
        of = of[of[name] == value]
    assert len(of) == 1
    return of.iloc[0]


def test_results_hold_a_row_per_run_in_the_order_of_settings(tmp_path: Path) -> None:
    def status(point: dict[str, Any]) -> str | None:
        if point["period"] == 1000 and point["amplitude"] == 40:
            return None if point["seed"] else "failed"
        return "diverged" if point["period"] == 10 and point["amplitude"] == 40 else "completed"

    axes = {"seed": range(3), "amplitude": AMPLITUDES, "period": PERIODS, "lr": [2, 1]}
    sweep(tmp_path, axes, status)
    summary = aggregate([tmp_path], figures=False)
    assert (tmp_path / "results.csv").read_text().startswith(FIRST + ",")
    rows = pd.read_csv(tmp_path / "results.csv")
    assert len(rows) == 3 * 4 * 5 * 2 - 2 * 2
    by = ["lr", "period", "amplitude", "seed"]
    assert rows[by].equals(rows[by].sort_values(by).reset_index(drop=True))
    assert rows["status"].value_counts().to_dict() == {
        "completed": 108,
        "diverged": 6,
        "failed": 2,
    }
    assert set(rows.columns) >= {"steps", "precision", "model.init", "engine", "device", "id"}
    failed = rows[rows["status"] == "failed"]
    assert failed["train_accuracy"].isna().all()
    assert failed["error"].eq("RuntimeError: no room").all()
    diverged = rows[rows["status"] == "diverged"]
    assert diverged["train_accuracy"].eq(0).all()
    assert diverged["train_loss"].isna().all()
    assert "108 completed, 6 diverged, 2 failed" in summary.text()
    assert summary.text().count("\nFailed: ") == 2
    assert not list(tmp_path.glob(".*.partial"))


def test_a_cells_statistics_are_those_of_its_seeds(tmp_path: Path) -> None:
    runs = load_frame([plane(tmp_path, seeds=4)])
    found = cell(cells(runs), period=300, amplitude=10)
    own = runs[(runs["period"] == 300) & (runs["amplitude"] == 10)]["validation_accuracy"]
    assert found["seeds"] == 4
    assert found["completed"] == 4
    assert found["validation_accuracy_mean"] == pytest.approx(np.mean(own))
    assert found["validation_accuracy_std"] == pytest.approx(np.std(own, ddof=1))
    assert found["validation_accuracy_se"] == pytest.approx(np.std(own, ddof=1) / 2)


def test_gains_are_paired_by_seed_and_tested_as_scipy_does(tmp_path: Path) -> None:
    runs = load_frame([plane(tmp_path, seeds=4)])
    of = cells(runs)
    for metric in ("train_accuracy", "validation_accuracy"):
        wide = runs.pivot(index="seed", columns=["period", "amplitude"], values=metric)
        p = []
        for period in PERIODS:
            for amplitude in AMPLITUDES[1:]:
                found = cell(of, period=period, amplitude=amplitude)
                test = stats.ttest_rel(wide[period, amplitude], wide[10, 1])
                difference = wide[period, amplitude] - wide[10, 1]
                assert found[f"{metric}_gain"] == pytest.approx(difference.mean())
                assert found[f"{metric}_gain_se"] == pytest.approx(difference.sem())
                assert found[f"{metric}_gain_p"] == pytest.approx(test.pvalue)
                assert found[f"{metric}_gain_pairs"] == 4
                p.append(test.pvalue)
        dynamical = of[of["amplitude"] != 1]
        assert np.sort(dynamical[f"{metric}_gain_p_corrected"]) == pytest.approx(
            np.sort(stats.false_discovery_control(p))
        )
        static = of[of["amplitude"] == 1]
        assert static[f"{metric}_gain"].eq(0).all()
        assert static[f"{metric}_gain_p"].isna().all()


def test_the_static_loss_counts_once_whatever_period_it_was_trained_at(tmp_path: Path) -> None:
    everywhere = table(plane(tmp_path / "a"))
    axes = {"period": PERIODS, "amplitude": AMPLITUDES[1:], "seed": range(3)}
    sweep(tmp_path / "b", axes)
    sweep(tmp_path / "b", {"seed": range(3)}, amplitude=1, period=77)
    once = table(tmp_path / "b")
    gains = [name for name in once if "_gain" in name]
    pd.testing.assert_frame_equal(
        once[once["amplitude"] != 1][gains].reset_index(drop=True),
        everywhere[everywhere["amplitude"] != 1][gains].reset_index(drop=True),
    )


def test_gains_compare_cells_of_equal_settings_and_the_seeds_both_have(tmp_path: Path) -> None:
    def status(point: dict[str, Any]) -> str | None:
        return None if point["amplitude"] == 1 and point["seed"] == 2 else "completed"

    axes = {"width": [100, 1000], "lr": [0.5, 1], "amplitude": [1, 20], "seed": range(4)}
    runs = load_frame([sweep(tmp_path, axes, status)])
    runs.loc[runs["width"] == 1000, "train_accuracy"] /= 2
    found = cell(cells(runs), width=1000, lr=0.5, amplitude=20)
    some = runs[(runs["width"] == 1000) & (runs["lr"] == 0.5) & (runs["seed"] != 2)]
    wide = some.pivot(index="seed", columns="amplitude", values="train_accuracy")
    assert found["train_accuracy_gain_pairs"] == 3
    assert found["train_accuracy_gain"] == pytest.approx((wide[20] - wide[1]).mean())


def test_without_static_runs_or_repeats_there_is_no_gain_or_no_p(tmp_path: Path) -> None:
    axes = {"period": PERIODS, "amplitude": [10, 20], "seed": range(2)}
    assert table(sweep(tmp_path / "a", axes))["train_accuracy_gain"].isna().all()
    once = table(plane(tmp_path / "b", seeds=1))
    assert once["train_accuracy_gain"].notna().all()
    assert once["train_accuracy_gain_p"].isna().all()
    assert once["train_accuracy_se"].isna().all()


def test_p_values_of_equal_differences_and_of_one_pair() -> None:
    mean, error = np.array([0.3, 0.0, -0.3, 0.1]), np.array([1e-17, 0.0, 0.0, np.nan])
    found = paired_p_value(mean, error, np.array([3, 3, 6, 1]))
    assert found[:3] == pytest.approx([0.25, 1, 1 / 32])
    assert np.isnan(found[3])


def test_correction_is_scipys_and_passes_over_nan() -> None:
    p = np.random.default_rng(0).random(50) ** 3
    holes = np.insert(p, [0, 7, 50], np.nan)
    assert corrected(holes)[~np.isnan(holes)] == pytest.approx(stats.false_discovery_control(p))
    assert np.isnan(corrected(holes)).sum() == 3


def test_losses_are_averaged_where_finite_and_accuracies_over_all(tmp_path: Path) -> None:
    write(
        tmp_path,
        [record(0, seed=0), record(1, "diverged", seed=1), record(2, "failed", seed=2)],
    )
    found = table(tmp_path).iloc[0]
    assert (found["seeds"], found["completed"], found["diverged"], found["failed"]) == (3, 1, 1, 1)
    good = load_frame([tmp_path]).iloc[0]
    assert found["train_accuracy_mean"] == pytest.approx(good["train_accuracy"] / 2)
    assert found["train_loss_mean"] == pytest.approx(good["train_loss"])


def test_several_directories_are_one_sweep(tmp_path: Path) -> None:
    plane(tmp_path / "a", seeds=2)
    plane(tmp_path / "b", seeds=3)
    summary = aggregate([tmp_path / "a", tmp_path / "b"], tmp_path / "both", figures=False)
    assert len(summary.runs) == 5 * 4 * 3
    assert (tmp_path / "both" / "cells.csv").exists()
    assert not (tmp_path / "a" / "results.csv").exists()
    with pytest.raises(AnalysisError, match="say where to write"):
        aggregate([tmp_path / "a", tmp_path / "b"])


def test_a_sweep_killed_in_its_first_batch_has_a_header(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "one.jsonl").write_text('{"batch"')
    summary = aggregate([tmp_path])
    assert (tmp_path / "results.csv").read_text() == FIRST + "\n"
    assert (tmp_path / "cells.csv").read_text().startswith("dataset,model,width,lr,period,")
    assert "0 runs" in summary.text()


def test_a_sweep_whose_runs_all_failed_has_tables(tmp_path: Path) -> None:
    axes = {"period": PERIODS, "amplitude": AMPLITUDES, "seed": range(2)}
    summary = aggregate([sweep(tmp_path, axes, lambda point: "failed")])
    assert summary.best is None
    assert {path.name for path in summary.files} == {"results.csv", "cells.csv"}
    assert "40 failed" in summary.text()


def test_the_summary_tells_static_loss_best_cell_and_gain(tmp_path: Path) -> None:
    summary = aggregate([plane(tmp_path)], formats=["png"])
    of = summary.cells[summary.cells["amplitude"] != 1]
    best, text = summary.best, summary.text()
    assert best is not None
    assert best["validation_accuracy_mean"] == of["validation_accuracy_mean"].max()
    assert "60 runs: 60 completed; 20 cells of 3 seeds" in text
    assert f"Best cell: T = {best['period']}, A = {best['amplitude']:.0f} " in text
    gain, error = best["validation_accuracy_gain"], best["validation_accuracy_gain_se"]
    assert f"+{gain:.4f} ± {error:.4f}" in text
    runs = summary.runs
    static = runs[(runs["amplitude"] == 1) & (runs["period"] == 10)]["train_accuracy"]
    assert re.search(rf"static loss +{static.mean():.4f} ± {static.sem():.4f} ", text)
    assert "phase_diagram_train_accuracy.png" in text
    assert str(tmp_path) in text
    assert max(map(len, text.replace(str(tmp_path), "").splitlines())) <= 100


def test_best_cell_is_not_one_with_seeds_to_come(tmp_path: Path) -> None:
    records = [record(n, amplitude=a, seed=n % 3, period=100) for n, a in enumerate([3] * 3)]
    records.append(record(3, amplitude=20, seed=0, period=200))
    summary = aggregate([write(tmp_path, records)], figures=False)
    assert summary.best is not None
    assert summary.best["amplitude"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{dir}/none"], "{dir}/none: no run records (expected {dir}/none/runs/*.jsonl)"),
        (["{dir}", "--x", "momentum"], "--x=momentum: must be one of period, amplitude"),
        (["{dir}", "--y", "lr"], "--y=lr: must be one of period, amplitude"),
        (["{dir}", "--x", "period", "--y", "loss.period"], "must be two different settings"),
        (["{dir}", "--metric", "recall"], "--metric=recall: must be one of train_accuracy, "),
        (["{dir}", "--formats", "gif"], "--formats=gif: must be one of png, pdf, svg"),
        (["{dir}", "--decision", "period"], "must look like period=100,amplitude=20"),
        (["{dir}", "--decision", "period=7"], "no run has period=7; there are 10, 30, 100"),
        (["{dir}", "--where", "color=1"], "--where=color: must be one of dataset, model, width"),
        (["{dir}", "{dir}"], "several directories: say where to write with --output DIR"),
        ([], "the following arguments are required: DIR"),
    ],
)
def test_errors_of_the_command_take_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    plane(tmp_path, seeds=1)
    with pytest.raises(SystemExit) as end:
        cli.main([argument.format(dir=tmp_path) for argument in arguments])
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert error.startswith("dynsweep-aggregate: error: ")
    assert error.count("\n") == 1
    assert message.format(dir=tmp_path) in error
    assert not (tmp_path / "results.csv").exists()


def test_the_command_writes_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plane(tmp_path / "sweep", seeds=2)
    cli.main(
        [
            str(tmp_path / "sweep"),
            "--output",
            str(tmp_path / "out"),
            "--metric=train_loss,gain_train_accuracy",
            "--where=loss.period=100",
            "--formats=svg",
        ]
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.csv",
        "cells.csv",
        "variance.csv",
        "phase_diagram_train_loss.svg",
        "gain_train_accuracy.svg",
    }
    assert "gain_train_accuracy.svg" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "out" / "cells.csv")) == 20


def test_missing_whole_numbers_stay_whole(tmp_path: Path) -> None:
    """A setting that some runs leave out, and one that records of an older version lack."""
    axes = {"batch_size": [None, 32], "amplitude": [1, 20], "seed": range(2)}
    records = [
        record(number, **dict(zip(axes, values, strict=True)))
        for number, values in enumerate(itertools.product(*axes.values()))
    ]
    for old in records[::2]:
        del old.config["loss.static_end"]
    summary = aggregate([write(tmp_path, records)], html=True)
    runs = summary.runs
    assert runs["optimizer.batch_size"].dtype == runs["epochs"].dtype == "Int64"
    assert runs["optimizer.batch_size"].dropna().tolist() == [32] * 4
    assert runs["loss.static_end"].eq(0).all()
    assert len(summary.cells) == 4
    assert sorted(summary.cells["train_accuracy_gain_pairs"]) == [0, 0, 2, 2]
    text = (tmp_path / "results.csv").read_text()
    assert ",32," in text
    assert "32.0" not in text
    assert "4 cells of 2 seeds" in summary.text()
    assert re.search("Best cell: .*batch size = (none|32)", summary.text())
    assert (tmp_path / "report.html").exists()


def test_tables_need_no_figures() -> None:
    """The room of the tables stands below those of the figures and the page."""
    script = (
        "import importlib, pkgutil, sys, dynsweep.analysis as room\n"
        "for module in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'dynsweep.analysis.{module.name}')\n"
        "above = ('matplotlib', 'torch', 'dynsweep.figures', 'dynsweep.page', 'dynsweep.cli')\n"
        "print([name for name in above if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
