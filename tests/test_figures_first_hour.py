"""What a person sees of a sweep in the first hour: figures, page, summary and progress."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ENVIRONMENT
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from runs import make_run
from sweeps import PERIODS, record, sweep, write
from test_plots import drawn, labels, legend, overlaps

import dynsweep
from dynsweep.analysis import decisions
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.statistics import cells
from dynsweep.cli.aggregate import aggregate
from dynsweep.config.labels import speed
from dynsweep.figures import style
from dynsweep.figures.decision_regions import Picture, decision_regions
from dynsweep.figures.lines import line_panels
from dynsweep.figures.phase_diagram import phase_panels
from dynsweep.figures.trajectory import trajectory
from dynsweep.metrics import COLUMNS
from dynsweep.store import load_trajectories
from dynsweep.sweep.progress import Progress

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]
SCHEDULES = ["constant", "cosine", "linear", "piecewise", "sharpness"]


@pytest.fixture(autouse=True)
def _no_figures_stay() -> Iterator[None]:
    before = plt.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


WIDE = """
import resource, sys
import numpy as np
from runs import make_run
from dynsweep.analysis.decisions import predictor

def predict(width):
    run = make_run(width=width)
    weights = run.model.build((2,), 3).init(0)
    points = np.random.default_rng(0).normal(size=(4_000, 2))
    assert predictor(run, {name: value.float() for name, value in weights.items()})(points).any()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

print(-predict(10) + predict(20_000))
"""


def test_decision_regions_of_20000_units_take_little_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WIDE], cwd=Path(__file__).parent, env=ENVIRONMENT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 100  # MB; all points at once take 640


@pytest.mark.parametrize("bias", [True, False])
def test_slices_predict_the_same_classes(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(width=500, bias=bias)
    drawn = run.model.build((2,), 3).init(1)
    weights = {name: value.float().numpy() for name, value in drawn.items()}
    weights["w1"][:, 0] = 1e38
    points = np.random.default_rng(0).normal(size=(3001, 2))
    sliced = decisions.predictor(run, weights)(points)
    monkeypatch.setattr(decisions, "SLICE_BYTES", 1)
    assert np.array_equal(decisions.predictor(run, weights)(points[:300]), sliced[:300])
    monkeypatch.setattr(decisions, "SLICE_BYTES", 2**40)
    assert np.array_equal(decisions.predictor(run, weights)(points), sliced)
    assert {-1} < set(sliced)  # some overflow


def test_a_diagram_of_a_directory(tmp_path: Path) -> None:
    directory = sweep(tmp_path, {"period": PERIODS, "amplitude": [1, 20], "seed": range(2)})
    for given in (directory, str(directory)):
        ax = dynsweep.phase_diagram(given)
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("period T (steps)", "amplitude A")
        assert drawn(ax).shape == (2, 5)
    with pytest.raises(ValueError, match="no run records"):
        dynsweep.phase_diagram(tmp_path / "none")
    alone = write(tmp_path / "alone", [record(0)])
    with pytest.raises(ValueError, match="no setting but the seed was swept"):
        dynsweep.phase_diagram(alone)


@pytest.mark.parametrize("given", [False, True])
def test_one_varied_setting_is_a_line_with_a_band(given: bool, tmp_path: Path) -> None:
    results = dynsweep.load(sweep(tmp_path, {"lr": [0.1, 0.3, 1], "seed": range(4)}))
    results["train_accuracy"] += np.random.default_rng(0).uniform(0, 0.1, len(results))
    own = plt.subplots()[1] if given else None
    ax = dynsweep.phase_diagram(results, "train_accuracy", ax=own)
    assert own in (None, ax)
    assert ax.get_xlabel() == "learning rate"
    assert ax.get_ylabel() == "training accuracy, mean ± s.e."
    assert labels(ax, "x") == ["0.1", "0.3", "1"]
    over_seeds = results.groupby("lr")["train_accuracy"]
    assert ax.containers[0].lines[0].get_ydata() == pytest.approx(over_seeds.mean().to_numpy())
    (band,) = [one for one in ax.collections if type(one).__name__ == "FillBetweenPolyCollection"]
    heights = {
        round(float(np.ptp(rows["y"])), 9)
        for _, rows in pd.DataFrame(band.get_paths()[0].vertices, columns=["x", "y"]).groupby("x")
    }
    assert heights == {round(2 * error, 9) for error in over_seeds.sem()}


def test_words_on_an_axis_are_all_there_and_whole(tmp_path: Path) -> None:
    axes = {"optimizer__schedule__name": SCHEDULES, "period": [10, 100], "width": [10, 20, 50]}
    table = cells(load_runs([sweep(tmp_path, axes)]))
    name = "optimizer.schedule.name"
    long = dict.fromkeys(SCHEDULES, "") | {"linear": "/home/somebody/with_long/names_of/files.csv"}
    table[name] = [long[word] or word for word in table[name]]
    for figure in (phase_panels(table, "train_accuracy", *pair) for pair in (
        (name, "period"), ("period", name)
    )):  # fmt: skip
        assert overlaps(figure) == []
        assert "schedule" in {figure.axes[0].get_ylabel(), figure.axes[2].get_xlabel()}
        words = {
            word.replace("\n", "") for which in "xy" for word in labels(figure.axes[0], which)
        }
        assert words >= set(table[name])
    assert overlaps(line_panels(table, "train_accuracy", name)) == []
    # In axes of somebody's own, too.
    figure, ax = plt.subplots()
    runs = dynsweep.load(tmp_path)
    dynsweep.phase_diagram(runs[runs["width"] == 10], x="period", y=name, ax=ax)
    assert overlaps(figure) == []


def test_null_and_truth_have_places_on_axes(tmp_path: Path) -> None:
    runs = dynsweep.load(sweep(tmp_path / "a", {"batch_size": [None, 32, 128], "seed": [0, 1]}))
    line = dynsweep.phase_diagram(runs)
    assert labels(line, "x") == ["32", "128", "none"]
    axes = {"bias": [True, False], "batch_size": [None, 32], "seed": [0, 1]}
    both = dynsweep.phase_diagram(sweep(tmp_path / "b", axes), x="model.bias")
    assert (labels(both, "x"), labels(both, "y")) == (["false", "true"], ["32", "none"])
    assert not np.ma.getmaskarray(drawn(both)).any()


def test_more_than_eight_classes_look_different() -> None:
    looks = [style.look(index) for index in range(32)]
    assert len({look[:2] for look in looks}) == len(looks)
    assert len({colour for colour, _, _ in looks[:16]}) == 16
    points = np.random.default_rng(0).uniform(-1, 1, (48, 2))
    classes = np.arange(48) % 12

    def predict(plane: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.arange(len(plane)) % 12

    pictures = [Picture("A = 20\naccuracy 0.5", predict, points, classes)]
    figure = decision_regions(pictures, "spirals")
    (ax,) = figure.axes
    assert legend(figure) == [f"class {index}" for index in range(12)]
    assert len(np.unique(ax.images[0].to_rgba(np.arange(12)), axis=0)) == 12
    faces = {tuple(points.get_facecolor()[0]) for points in ax.collections}
    assert len(faces) == 12
    assert overlaps(figure) == []
    of_classes = {f"weight_{index}": np.sin(np.arange(9.0) + index) for index in range(12)}
    in_time = trajectory(pd.DataFrame({"step": np.arange(9), "loss": 1.0, **of_classes}), 1)
    lines = in_time.axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12
    assert overlaps(in_time) == []


def test_metrics_draw_loss_beside_accuracy() -> None:
    steps = pd.DataFrame({"step": np.arange(9), **dict.fromkeys(COLUMNS, 0.5)})
    steps["validation_loss"] = np.arange(9)
    figure = trajectory(steps, 1)
    accuracy, loss = figure.axes
    assert accuracy.get_ylabel() == "accuracy"
    assert loss.get_ylabel() == "static loss"
    for line, part in zip(loss.get_lines(), ("train", "validation"), strict=True):
        assert np.array_equal(line.get_ydata(), steps[f"{part}_loss"])
    assert overlaps(figure) == []


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        ({0: "diverged", 1: "diverged"}, "Every run diverged: try a smaller learning rate, "),
        ({0: "failed", 1: "diverged"}, "Every run that did not fail diverged: try a smaller "),
        ({0: "completed", 1: "diverged"}, ""),
        ({0: "failed", 1: "failed"}, "No diagrams: no run has a result."),
    ],
)
def test_a_sweep_without_a_result_says_so_in_a_sentence(
    ended: dict[int, str], sentence: str, tmp_path: Path
) -> None:
    axes = {"lr": [0.03, 0.3], "amplitude": [1, 20], "seed": [0, 1]}
    summary = aggregate(
        [sweep(tmp_path, axes, lambda point: ended[point["seed"]])], formats=["png"]
    )
    text = summary.text()
    assert sentence in text
    assert ("optimizer.lr=0.003." in text) == ("diverged:" in sentence)
    assert ("best cell" in text) == (not sentence)
    assert "no static run" not in text


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0, "? runs/s"),
        (1 / 2.76, "2.76 s/run"),
        (12.34, "12.3 runs/s"),
        (12345.6, "12,346 runs/s"),
        (1 / 7200, "2 h 0 min/run"),
    ],
)
def test_the_speed_reads_well(rate: float, words: str) -> None:
    assert speed(rate) == words


def rows_of(text: str) -> list[str]:
    """What stands on a terminal in the end."""
    rows, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[\d*[A-Z]|.|\n", text, re.DOTALL):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
            rows += [""] * (row == len(rows))
        elif token.endswith("A") and token != "A":
            row -= 1
        else:
            line = rows[row].ljust(column)
            rows[row] = line[:column] + token + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in rows]


def test_log_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    words = [f"Training 2 runs (mlp, width {width})" for width in (10, 20)]
    with open(other, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(terminal)])
        monkeypatch.setattr(logging.root, "level", logging.INFO)
        with Progress(4) as progress:
            time.sleep(1.1)  # a bar shows after a second
            for text in words:
                progress.advance(0.5)
                logging.getLogger("dynsweep").info(text)
                progress.advance(1)
        terminal.flush()
        shown = b""
        while select.select([own], [], [], 0.2)[0]:  # it comes in parts
            shown += os.read(own, 65536)
        rows = rows_of(shown.decode())
    os.close(own)
    assert rows[:2] == words
    bar = r" 75%\|.*\| 3/4 runs \[[\d:]+, [\d:]+ left, [\d.]+ (runs/s|s/run)\]"
    assert re.fullmatch(bar, rows[2])
    assert len(rows[2]) < 60
    assert not any(rows[3:])


def test_runs_that_diverge_end_with_a_learning_rate_to_try(
    tmp_path: Path, dynsweep: Dynsweep
) -> None:
    words = [
        "optimizer.lr=1e25",
        "observe=metrics",
        "steps=30",
        "loss.period=5",
        "model.width=8",
        "engine=reference",
    ]
    done = dynsweep(*words, "hydra.run.dir=d")
    assert done.returncode == 0, done.stderr
    assert "The run diverged: try a smaller learning rate, optimizer.lr=1.\n" in done.stdout
    assert pd.read_csv(tmp_path / "d" / "results.csv")["status"].tolist() == ["diverged"]
    assert {"step", *COLUMNS} <= set(load_trajectories(tmp_path / "d"))
