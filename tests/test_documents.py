"""What the documents promise: links lead somewhere, commands are understood, results remade."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.types import RunMode

from dynsweep.config import SETTINGS, register_schemas
from dynsweep.launchers import register

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "outputs/reference/**/*.md")
    for path in ROOT.glob(pattern)
)


def commands(path: Path) -> list[list[str]]:
    """Every dynsweep command in the shell blocks of a document, in words."""
    # Examples of what to add are run by test_contributing.py and test_extending.py.
    text = re.sub(r"<!-- example: .*?(?=\n###? )", "", path.read_text(), flags=re.S)
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words and words[0].rpartition("/")[2] == "dynsweep"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", path.read_text())
    local = [link.partition("#")[0] for link in links if "://" not in link]
    missing = [link for link in local if not (path.parent / link).exists()]
    assert not missing


def test_there_are_commands_to_check() -> None:
    assert sum(len(commands(path)) for path in DOCUMENTS) > 20


@pytest.fixture
def compose() -> Iterator[Callable[[list[str]], None]]:
    # Hydra keeps what is registered for the whole process, and other tests start from nothing.
    before = Singleton.get_state()
    register()
    register_schemas()
    with initialize_config_module("dynsweep.conf", version_base="1.3"):
        state = GlobalHydra.instance().hydra
        assert state is not None
        yield lambda words: state.compose_config("config", words, run_mode=RunMode.MULTIRUN)
    Singleton.set_state(before)


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if commands(path)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_commands_are_understood(path: Path, compose: Callable[[list[str]], None]) -> None:
    """Each of them composes: groups, presets and settings exist, and no value is mistyped."""
    for words in commands(path):
        # Variables as a shell would have them.
        text = "\n".join(words[1:]).replace("$grid", "loss.period=200,1000\nseed=range(0,5)")
        kept = re.sub(r"\$[A-Z]\w*", "somewhere", text).split("\n")
        compose([word for word in kept if not word.startswith("-") and "=" in word])


def test_every_result_has_its_commands_and_stands_in_the_index() -> None:
    index = (ROOT / "outputs/reference/README.md").read_text()
    for path in ROOT.glob("outputs/reference/*/"):
        assert f"]({path.name})" in index, path
        block = re.search(r"^```bash\n(.*?)^```", (path / "README.md").read_text(), re.M | re.S)
        assert block is not None, path
        assert "$DIR" in block[1], path


def test_a_result_is_remade(tmp_path: Path) -> None:
    reference = tmp_path / "outputs" / "reference"
    source = ROOT / "outputs" / "reference"
    shutil.copytree(source / "class_weights", reference / "class_weights")
    shutil.copy(source / "remake.py", reference)
    figure = reference / "class_weights" / "class_weights.png"
    figure.write_bytes(b"old")
    command = [sys.executable, str(reference / "remake.py")]
    subprocess.run([*command, "class_weights"], check=True, capture_output=True)
    assert figure.read_bytes().startswith(b"\x89PNG")
    refused = subprocess.run([*command, "nothing"], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "nothing: must be one of class_weights" in refused.stderr


def test_a_result_that_the_commands_do_not_make_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "reference" / "one"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "outputs" / "reference" / "remake.py", folder.parent)
    (folder / "README.md").write_text("```bash\ntrue\n```\n")
    (folder / "table.csv").write_text("kept\n")
    command = [sys.executable, str(folder.parent / "remake.py"), "one"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "one: the commands did not make table.csv" in done.stderr
    assert (folder / "table.csv").read_text() == "kept\n"


def test_the_table_of_settings_is_that_of_the_declarations() -> None:
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "docs" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert (ROOT / "docs" / "settings.md").read_text() == page.text()


def test_defaults_in_the_readme_are_those_of_the_declarations() -> None:
    rows = re.findall(r"^\| (`\w.*?) \| .* \| (.*) \|$", (ROOT / "README.md").read_text(), re.M)
    checked = 0
    for names, defaults in rows:
        words = re.findall(r"`([\w.]+)`", names)
        group = words[0].rpartition(".")[0]
        full = [f"{group}{word}" if word.startswith(".") else word for word in words]
        for name, default in zip(full, defaults.split(", "), strict=False):
            if name in SETTINGS:
                shown = SETTINGS[name].default
                assert yaml.safe_load(default) == shown, name
                checked += 1
    assert checked > 18
