"""The report page in a real browser: Debian's Chromium without a window."""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sweeps
from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from dynsweep.analysis import statistics
from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.variance import shares
from dynsweep.cli.aggregate import aggregate
from dynsweep.page.page import write_page

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="Chromium is not installed: apt install chromium chromium-driver",
    ),
]

OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
GRID = ["loss.period=10,20,40", "loss.amplitude=1,5,20", "seed=0,1"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine cells at two learning rates, one of which diverges; recorded along the way."""
    directory = tmp_path_factory.mktemp("sweep")
    command = [
        sys.executable, "-m", "dynsweep", "-m", *GRID, "optimizer.lr=1,1e30", "steps=400",
        "observe.records=20", f"hydra.sweep.dir={directory}",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return directory


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, sweep: Path) -> Iterator[webdriver.Chrome]:
    """The page, opened from disk and drawn; no message on the console before or after."""
    browser.set_window_size(1200, 1000)
    open_page(browser, sweep)
    yield browser
    # Without a graphics card the browser says that it draws parallel coordinates in software.
    assert [entry for entry in browser.get_log("browser") if "WebGL" not in entry["message"]] == []


def open_page(browser: webdriver.Chrome, directory: Path) -> None:
    browser.get(f"file://{directory}/report.html")
    WebDriverWait(browser, 30).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, "#plot .heatmaplayer image")
    )


def choose(page: webdriver.Chrome, name: str, text: str) -> None:
    Select(page.find_element(By.NAME, name)).select_by_visible_text(text)


def drawn(page: webdriver.Chrome) -> np.ndarray[Any, Any]:
    """The matrix that the diagram shows."""
    matrix = page.execute_script("return document.getElementById('plot').data[0].z")
    return np.array(matrix, dtype=float)


def runs(sweep: Path) -> pd.DataFrame:
    return pd.read_csv(sweep / "results.csv")


def cell_centre(page: webdriver.Chrome, x: int, y: int) -> tuple[float, float]:
    """Where a cell is, from the middle of the diagram's element."""
    return tuple(
        page.execute_script(
            "const p = document.getElementById('plot'), b = p.getBoundingClientRect(),"
            " l = p._fullLayout;"
            "return [l.xaxis._offset + l.xaxis.d2p(arguments[0]) - b.width / 2,"
            " l.yaxis._offset + l.yaxis.d2p(arguments[1]) - b.height / 2]",
            x,
            y,
        )
    )


def expected(sweep: Path, metric: str, lr: float | None = None) -> pd.DataFrame:
    frame = runs(sweep)
    if lr is not None:
        frame = frame[frame["lr"] == lr]
    return frame.pivot_table(index="amplitude", columns="period", values=metric)


def test_diagram_shows_the_means_of_the_runs(page: webdriver.Chrome, sweep: Path) -> None:
    choose(page, "slice-lr", "1")
    wanted = expected(sweep, "validation_accuracy", 1)
    np.testing.assert_allclose(drawn(page), wanted, rtol=1e-4)
    choose(page, "metric", "training loss")
    np.testing.assert_allclose(drawn(page), expected(sweep, "train_loss", 1), rtol=1e-4)
    choose(page, "slice-lr", "mean over all")
    choose(page, "metric", "training accuracy")
    np.testing.assert_allclose(drawn(page), expected(sweep, "train_accuracy"), rtol=1e-4)
    choose(page, "x", "learning rate")
    assert drawn(page).shape == (3, 2)
    choose(page, "y", "(none: a line)")
    assert page.find_elements(By.CSS_SELECTOR, "#plot .scatterlayer .point")


def test_hover_tells_mean_error_and_seeds(page: webdriver.Chrome, sweep: Path) -> None:
    choose(page, "slice-lr", "1")
    plot = page.find_element(By.ID, "plot")
    ActionChains(page).move_to_element_with_offset(plot, *cell_centre(page, 1, 2)).perform()
    WebDriverWait(page, 10).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, "#plot .hovertext")
    )
    text = page.find_element(By.CSS_SELECTOR, "#plot .hovertext").text
    frame = runs(sweep)
    chosen = frame[(frame["lr"] == 1) & (frame["period"] == 20) & (frame["amplitude"] == 20)]
    values = chosen["validation_accuracy"]
    assert "period T (steps): 20" in text
    assert "amplitude A: 20" in text
    assert "learning rate: 1" in text
    assert f"{values.mean():.4g} ± {values.sem():.2g}" in text
    assert "2 runs" in text


def test_click_opens_the_cell(page: webdriver.Chrome) -> None:
    choose(page, "slice-lr", "1")
    plot = page.find_element(By.ID, "plot")
    ActionChains(page).move_to_element_with_offset(
        plot, *cell_centre(page, 2, 1)
    ).click().perform()
    panel = page.find_element(By.ID, "panel")
    WebDriverWait(page, 10).until(lambda _: panel.is_displayed())
    assert panel.find_element(By.TAG_NAME, "h3").text.startswith(
        "period T (steps): 40, amplitude A: 5, learning rate: 1"
    )
    command = panel.find_element(By.CSS_SELECTOR, ".command code").text
    words = command.split()
    assert words[:2] == ["dynsweep", "-m"]
    assert {"loss.period=40", "loss.amplitude=5", "seed=0,1", "optimizer.lr=1"} <= set(words)
    assert panel.find_element(By.CSS_SELECTOR, ".tile").is_displayed()
    colours = np.unique(picture(panel.find_element(By.CSS_SELECTOR, ".tile")), axis=0)
    assert len(colours) >= 2  # at least two classes' colours
    assert panel.find_elements(By.CSS_SELECTOR, "#trajectory .scatterlayer .js-line")
    panel.find_element(By.CSS_SELECTOR, ".command button").click()
    button = panel.find_element(By.CSS_SELECTOR, ".command button")
    WebDriverWait(page, 5).until(lambda _: button.text in ("Copied", "Selected"))


def test_keyboard_alone(page: webdriver.Chrome) -> None:
    plot = page.find_element(By.ID, "plot")
    page.execute_script("document.querySelector('[name=\"slice-lr\"]').focus()")
    ActionChains(page).send_keys(Keys.TAB).perform()
    assert page.switch_to.active_element.get_attribute("id") == "plot"
    plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_UP)
    said = page.find_element(By.ID, "said").text
    assert said.startswith("period T (steps): 20; amplitude A: 20;")
    plot.send_keys(Keys.ENTER)
    panel = page.find_element(By.ID, "panel")
    assert panel.is_displayed()
    assert page.switch_to.active_element.get_attribute("id") == "panel"
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not panel.is_displayed()
    assert page.switch_to.active_element.get_attribute("id") == "plot"


def cells(page: webdriver.Chrome, name: str) -> list[str]:
    """A column of the table."""
    heads = [one.text for one in page.find_elements(By.CSS_SELECTOR, "#runs th")]
    place = heads.index(name) + 1
    found = page.find_elements(By.CSS_SELECTOR, f"#runs tbody td:nth-child({place})")
    return [one.text for one in found]


def test_table_sorts_and_filters(page: webdriver.Chrome) -> None:
    assert page.find_element(By.ID, "found").text == "36 of 36 runs"
    head = page.find_element(By.XPATH, "//section[@id='runs']//th[button='train accuracy']")
    head.find_element(By.TAG_NAME, "button").click()
    values = [float(value) for value in cells(page, "train accuracy")]
    assert values == sorted(values)
    assert head.get_attribute("aria-sort") == "ascending"
    head.find_element(By.TAG_NAME, "button").click()
    values = [float(value) for value in cells(page, "train accuracy")]
    assert values == sorted(values, reverse=True)
    box = page.find_element(By.ID, "filter")
    box.send_keys("amplitude>4 status=completed period=20")
    assert page.find_element(By.ID, "found").text == "4 of 36 runs"
    assert set(cells(page, "period")) == {"20"}
    assert set(cells(page, "amplitude")) == {"5", "20"}
    box.clear()
    box.send_keys("diverged")
    assert page.find_element(By.ID, "found").text == "18 of 36 runs"


def test_divergences_are_listed(page: webdriver.Chrome) -> None:
    lines = page.find_elements(By.CSS_SELECTOR, "#failures li")
    assert len(lines) == 18
    assert lines[0].text.startswith(
        "diverged: learning rate 1e+30, period T (steps) 10, amplitude A 1,"
    )
    assert "18 diverged" in page.find_element(By.ID, "counts").text


def test_bars_are_the_shares_of_the_table(page: webdriver.Chrome, sweep: Path) -> None:
    table = pd.read_csv(sweep / "variance.csv")
    table = table[table["metric"] == "validation_accuracy"]
    script = "const b = document.getElementById('shares').data[1]; return [b.name, b.y, b.x]"
    name, effects, shares = page.execute_script(script)
    assert name == "validation accuracy"
    assert sum(shares) == pytest.approx(100, abs=0.5)
    main = table[table["effect"] == "main"].set_index("setting")["share"]
    drawn = dict(zip(effects, shares, strict=True))
    for setting, words in (("lr", "learning rate"), ("amplitude", "amplitude A")):
        assert drawn[words] == pytest.approx(100 * main[setting], abs=0.051)
    assert effects[-1] == "seeds"
    assert "learning rate" in page.find_element(By.ID, "shares").get_attribute("aria-label")
    assert len(page.find_elements(By.CSS_SELECTOR, "#shares .bars path")) == 2 * len(effects)


def picture(element: Any) -> np.ndarray[Any, Any]:
    """Pixels of an element, as a list of colours."""
    image = Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")
    return np.array(image).reshape(-1, 3)


def test_screenshot_has_the_colours_of_the_metric_and_scale(page: webdriver.Chrome) -> None:
    choose(page, "slice-lr", "1")
    image = page.find_element(By.CSS_SELECTOR, "#plot .heatmaplayer")
    viridis = picture(image)
    # As many colours as there are different values, each over a good part of the diagram.
    values = len(np.unique(drawn(page)))
    _, counts = np.unique(viridis, axis=0, return_counts=True)
    assert values - 1 <= (counts > len(viridis) / 40).sum() <= values + 1
    choose(page, "scale", "Greys")
    time.sleep(0.3)
    grey = picture(page.find_element(By.CSS_SELECTOR, "#plot .heatmaplayer"))
    assert not np.array_equal(viridis, grey)
    common, counts = np.unique(grey, axis=0, return_counts=True)
    shade = common[counts > len(grey) / 40]
    assert (np.ptp(shade, axis=1) < 12).all()
    choose(page, "metric", "gain in validation accuracy")
    time.sleep(0.3)
    assert (drawn(page)[0] == 0).all()  # the static loss gains nothing over itself


def test_colours_span_what_is_asked_for(page: webdriver.Chrome) -> None:
    choose(page, "slice-lr", "1")

    def limits() -> list[float]:
        script = "const t = document.getElementById('plot').data[0]; return [t.zmin, t.zmax]"
        return [float(value) for value in page.execute_script(script)]

    values = np.sort(drawn(page).ravel())
    assert limits() == [values[0], values[-1]]
    choose(page, "range", "from the 25th to the 75th percentile")
    assert limits() == [values[2], values[6]]
    choose(page, "metric", "gain in validation accuracy")
    low, high = limits()
    assert low == -high < 0


def test_what_was_run_is_told(page: webdriver.Chrome) -> None:
    facts = page.find_element(By.CSS_SELECTOR, "section:last-of-type dl").text
    assert f"Python {platform.python_version()}, torch {version('torch')}" in facts
    command = page.find_element(By.CSS_SELECTOR, "main > .command code").text
    assert command.startswith("dynsweep ")
    assert all(word in command for word in GRID)


def test_dark_and_light(page: webdriver.Chrome, sweep: Path) -> None:
    def paper() -> str:
        return str(page.execute_script("return getComputedStyle(document.body).backgroundColor"))

    light = paper()
    page.find_element(By.ID, "theme").click()
    dark = paper()
    assert dark != light
    ink = page.execute_script("return document.getElementById('plot')._fullLayout.font.color")
    assert ink.strip() == "#e8eaed"
    page.find_element(By.ID, "theme").click()
    assert paper() == light
    preference = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preference})
    try:
        open_page(page, sweep)
        assert paper() == dark
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_narrow_window_does_not_scroll_sideways(page: webdriver.Chrome, sweep: Path) -> None:
    metrics = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        open_page(page, sweep)
        page.find_element(By.ID, "plot").send_keys(Keys.ENTER)
        wide = page.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 380
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_many_cells_on_the_page_leave_no_gaps(tmp_path: Path, browser: webdriver.Chrome) -> None:
    axes = {"period": range(5, 105), "amplitude": range(2, 102)}
    aggregate([sweeps.sweep(tmp_path, axes)], figures=False, html=True)
    browser.set_window_size(1200, 1000)
    open_page(browser, tmp_path)
    plot = browser.find_element(By.CSS_SELECTOR, "#plot .heatmaplayer")
    pixels = np.asarray(Image.open(io.BytesIO(plot.screenshot_as_png)).convert("RGB"))
    inner = pixels[5:-5, 5:-5].reshape(-1, 3).astype(int)
    assert inner.size > 100_000
    assert not (inner.min(axis=1) > 180).any()


@pytest.mark.parametrize("axes", [("model.init", "period"), ("period", "model.init")])
def test_words_on_an_axis_are_all_there_and_whole(
    axes: tuple[str, str], tmp_path: Path, browser: webdriver.Chrome
) -> None:
    grid = {"init": ["glorot", "standard"], "period": [10, 100]}
    frame = load_runs([sweeps.sweep(tmp_path, grid)])
    long = "/home/somebody/with_long/names_of/<folders>/of.csv"
    frame["model.init"] = frame["model.init"].replace("standard", long)
    cells = statistics.cells(frame)
    page = tmp_path / "report.html"
    write_page([tmp_path], frame, cells, axes, page, shares(frame, cells))
    browser.set_window_size(500, 1000)
    open_page(browser, tmp_path)
    outer = browser.find_element(By.ID, "plot").rect
    ticks = browser.find_elements(By.CSS_SELECTOR, "#plot .xtick text, #plot .ytick text")
    assert {tick.text.replace("\n", "") for tick in ticks} == {"10", "100", "glorot", long}
    for tick in ticks:
        inner = tick.rect
        assert outer["x"] <= inner["x"]
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]
        assert inner["y"] + inner["height"] <= outer["y"] + outer["height"]
