"""The page of two sweeps, and of more than two varied settings: its data, and in a browser."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait
from sweeps import record, write

from dynsweep.cli.aggregate import aggregate
from dynsweep.page.comparison import comparison, labels_of

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PERIODS, AMPLITUDES, SEEDS = [30, 100], [1, 10], [0, 1, 2]


def sweep(directory: Path, shift: float = 0.0, **more: list[Any]) -> Path:
    """A grid of runs whose validation accuracies are higher by ``shift``."""
    lists = {"period": PERIODS, "amplitude": AMPLITUDES, "seed": SEEDS, **more}
    records = []
    for number, values in enumerate(itertools.product(*lists.values())):
        one = record(number, **dict(zip(lists, values, strict=True)))
        higher = one.metrics["validation_accuracy"] + shift
        records.append(replace(one, metrics=one.metrics | {"validation_accuracy": higher}))
    return write(directory, records)


def by_cell(directory: Path) -> pd.core.groupby.SeriesGroupBy:
    from dynsweep.analysis.frame import load_runs

    return load_runs([directory]).groupby(["period", "amplitude"])["validation_accuracy"]


def page(*arguments: Path | str) -> tuple[str, dict[str, Any]]:
    """Text and data of the page that the command writes into the last of the arguments."""
    command = [sys.executable, "-m", "dynsweep.cli.aggregate_command", *map(str, arguments)]
    done = subprocess.run(
        [*command, "--html", "--no-figures"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    text = Path(arguments[-1], "report.html").read_text()
    packed = re.search(r'id="packed-data">([^<]+)<', text)
    assert packed
    return text, json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_labels_are_the_shortest_tails_that_differ() -> None:
    assert labels_of(["/x/low", "/x/high"]) == ["low", "high"]
    assert labels_of(["/x/low/1", "/x/high/1"]) == ["low/1", "high/1"]


def test_sweeps_of_two_noises_have_the_same_cells_and_axes(tmp_path: Path) -> None:
    low = sweep(tmp_path / "low", noise=[0.2])
    high = sweep(tmp_path / "high", -0.1, noise=[0.4])
    _, data = page(low, high, "--output", tmp_path / "both")
    told = data["comparison"]
    assert [one["label"] for one in told["sweeps"]] == ["low", "high"]
    assert "0.2" in told["sweeps"][0]["apart"]
    assert "0.4" in told["sweeps"][1]["apart"]
    assert [axis["name"] for axis in told["axes"]] == ["period", "amplitude"]
    assert told["sweep"] == [0] * 4 + [1] * 4
    held = told["of"]["validation_accuracy"]
    for at, directory in enumerate((low, high)):
        groups = by_cell(directory)
        part = slice(4 * at, 4 * at + 4)
        assert held["mean"][part] == pytest.approx(groups.mean().tolist(), rel=1e-4)
        assert held["error"][part] == pytest.approx(groups.sem().tolist(), rel=1e-3)
        assert held["count"][part] == [3] * 4


def test_the_same_settings_of_two_versions_count_in_both(tmp_path: Path) -> None:
    """A table of both has each run once; the comparison has it of each sweep."""
    old, new = sweep(tmp_path / "old"), sweep(tmp_path / "new", 0.05)
    told = comparison([old, new], ["period", "amplitude"])
    assert told
    assert [one["runs"] for one in told["sweeps"]] == [12, 12]
    mean = np.array(told["of"]["validation_accuracy"]["mean"])
    np.testing.assert_allclose(mean[4:] - mean[:4], 0.05, atol=1e-4)


def test_one_sweep_is_no_comparison(tmp_path: Path) -> None:
    directory = sweep(tmp_path / "one")
    assert comparison([directory], [None, None]) is None
    assert comparison([directory, f"{directory}/"], [None, None]) is None


def test_sweeps_of_two_datasets_are_compared_by_what_both_have(tmp_path: Path) -> None:
    """No static run has ``model.bias``: a table of both once ended in a traceback."""
    convolutional = {"dataset": ["cifar10"], "model": ["myrtle5"], "width": [8]}
    images = sweep(tmp_path / "images", **convolutional)
    points = sweep(tmp_path / "points", amplitude=[10, 20])
    summary = aggregate([images, points], tmp_path / "both", html=True, figures=False)
    assert len(summary.runs) == 24
    told = comparison([images, points], ["period", "amplitude"])
    assert told
    assert [axis["name"] for axis in told["axes"]] == ["period", "amplitude"]
    assert "model myrtle5, width" in told["sweeps"][0]["apart"]
    assert "none" not in told["sweeps"][0]["apart"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("Chromium is not installed: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    home = tmp_path_factory.mktemp("chromium")
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def opened(browser: webdriver.Chrome, directory: Path) -> None:
    browser.get(f"file://{directory}/report.html")
    gone = "return !document.getElementById('loading')"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(gone))
    log = [entry for entry in browser.get_log("browser") if "WebGL" not in entry["message"]]
    assert log == []


def plotted(browser: webdriver.Chrome, which: str) -> dict[str, Any]:
    """Values, texts and colour range of a compared diagram."""
    return browser.execute_script(
        "const [{ z, text, zmin, zmax }] = document.querySelector("
        "`[data-compared=${arguments[0]}]`).data; return { z, text, zmin, zmax };",
        which,
    )


@pytest.mark.slow
def test_the_difference_has_its_error(browser: webdriver.Chrome, tmp_path: Path) -> None:
    low = sweep(tmp_path / "low", noise=[0.2])
    high = sweep(tmp_path / "high", -0.1, noise=[0.4], period=[100, 300])
    page(low, high, "--output", tmp_path / "both")
    opened(browser, tmp_path / "both")
    one, other, difference = (plotted(browser, n) for n in ("reference", "other", "difference"))
    assert (one["zmin"], one["zmax"]) == (other["zmin"], other["zmax"])
    assert difference["zmin"] == -difference["zmax"]
    # Both have period 100, the middle one of three.
    assert [[value is None for value in line] for line in difference["z"]] == [[1, 0, 1]] * 2
    np.testing.assert_allclose([line[1] for line in difference["z"]], -0.1, atol=1e-4)
    error = np.hypot(*(by_cell(each).sem()[100, 10] for each in (low, high)))
    shown = re.search(r"± ([\d.e-]+)", difference["text"][1][1])
    assert shown
    assert float(shown[1]) == pytest.approx(error, rel=0.05)
    assert "seeds: 3 and 3" in difference["text"][1][1]
    overlap = browser.execute_script("return document.getElementById('overlap').textContent")
    assert overlap.endswith(": 2, of 4 in low and 4 in high; the others have no difference.")


@pytest.mark.slow
def test_sweeps_without_a_common_cell_say_so(browser: webdriver.Chrome, tmp_path: Path) -> None:
    one, other = sweep(tmp_path / "one"), sweep(tmp_path / "other", period=[7, 8])
    page(one, other, "--output", tmp_path / "both")
    opened(browser, tmp_path / "both")
    overlap = browser.execute_script("return document.getElementById('overlap').textContent")
    assert overlap.startswith("No cell has equal settings in both sweeps: period")
    assert "is 30, 100 in one and 7, 8 in other" in overlap
    assert not browser.execute_script(
        "return document.querySelector('[data-compared=difference]')"
    )


@pytest.mark.slow
def test_a_brush_selects_runs_in_the_table(browser: webdriver.Chrome, tmp_path: Path) -> None:
    directory = sweep(tmp_path / "three", init=["glorot", "standard"], period=[30, 300])
    page(directory)
    opened(browser, directory)
    dimensions = browser.execute_script(
        "return document.getElementById('lines').data[0].dimensions"
    )
    assert len(dimensions) == 5
    assert dimensions[0]["tickvals"] == pytest.approx(np.log10([30, 300]).tolist())
    assert dimensions[2]["ticktext"] == ["glorot", "standard"]
    browser.execute_script(
        "Plotly.restyle('lines', {'dimensions[2].constraintrange': [[-0.1, 0.1]]})"
    )
    found = "return document.getElementById('found').textContent"
    assert browser.execute_script(found) == "12 of 24 runs"
    browser.execute_script("document.getElementById('unbrush').click()")
    assert browser.execute_script(found) == "24 of 24 runs"
    for name in browser.execute_script("return SCALES"):
        choose = "const c = document.querySelector('[name=scale]'); c.value = arguments[0];"
        browser.execute_script(
            choose + "c.dispatchEvent(new Event('change', {bubbles: true}))", name
        )
        for plot, part in (("plot", ""), ("lines", ".line")):
            held = f"return document.getElementById('{plot}')._fullData[0]{part}.autocolorscale"
            assert browser.execute_script(held) is False, f"Plotly does not know {name}"
            assert (
                browser.execute_script(held.replace("auto", "").replace("_fullData", "data"))
                == name
            )
