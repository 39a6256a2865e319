"""CIFAR-10: reading good files, refusing bad ones, and fetching the archive."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from dynsweep.config import CIFAR10Config, MLPConfig, RunConfig
from dynsweep.config.schemas import register_schemas
from dynsweep.data import load
from dynsweep.data.cifar10 import statistics
from dynsweep.data.download import ARCHIVE, FOLDER, RECORD, TEST, TRAIN, download
from dynsweep.errors import ConfigError
from dynsweep.settings import check

PER_FILE = 40  # records, four of a class


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six small files in the published layout, with random pixels."""
    rng = np.random.RandomState(0)
    folder = tmp_path / "data"
    folder.mkdir()
    for name in (*TRAIN, TEST):
        records = rng.randint(0, 256, (PER_FILE, RECORD)).astype(np.uint8)
        records[:, 0] = rng.permutation(np.arange(PER_FILE) % 10)
        records.tofile(folder / name)
    return folder


def config(root: Path, **changes: Any) -> CIFAR10Config:
    made = CIFAR10Config(root=str(root), **{"download": False, **changes})
    check(made, "dataset.")
    return made


def test_records_are_read_as_the_publisher_describes_them(root: Path) -> None:
    data = load(config(root))
    raw = (root / TRAIN[1]).read_bytes()[7 * RECORD : 8 * RECORD]
    assert data.train_labels[PER_FILE + 7] == raw[0]
    image = data.train_inputs[PER_FILE + 7]
    assert image[0, 0, 1] == raw[1 + 1]  # red, first row, second column
    assert image[1, 2, 3] == raw[1 + 1024 + 2 * 32 + 3]
    assert image[2, 31, 31] == raw[3072]
    assert data.train_inputs.shape == (5 * PER_FILE, 3, 32, 32)
    assert data.validation_inputs.shape == (PER_FILE, 3, 32, 32)
    pixels = data.train_inputs.astype(float)
    mean, std = statistics(data.train_inputs)
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std(axis=(0, 2, 3)), rtol=1e-12)


def test_the_archives_own_folder_is_found(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    shutil.copytree(root, tmp_path / "outer" / FOLDER)
    there = load(config(tmp_path / "outer"))
    np.testing.assert_array_equal(there.train_inputs, load(config(root)).train_inputs)


def test_subsets_have_so_many_of_every_class(root: Path) -> None:
    data = load(config(root, samples_per_class=3, validation_samples_per_class=2))
    np.testing.assert_array_equal(np.bincount(data.train_labels), [3] * 10)
    np.testing.assert_array_equal(np.bincount(data.validation_labels), [2] * 10)
    other = load(config(root, samples_per_class=3, validation_samples_per_class=2, seed=1))
    assert not np.array_equal(data.train_inputs, other.train_inputs)


def test_a_split_takes_validation_from_the_training_set(root: Path) -> None:
    data = load(config(root, validation="split", validation_samples_per_class=5))
    np.testing.assert_array_equal(np.bincount(data.validation_labels), [5] * 10)
    together = np.concatenate([data.train_inputs, data.validation_inputs]).reshape(-1, 3072)
    everything = load(config(root)).train_inputs.reshape(-1, 3072)
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(everything, axis=0))
    assert len(together) == len(everything)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def relabel(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[3 * RECORD] = 255
    path.write_bytes(raw)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (truncate, "not whole records of 3,073"),
    "empty": (lambda path: path.write_bytes(b""), "0 bytes are not whole records"),
    "oversized": (lambda path: path.write_bytes(bytes(RECORD * 10_001)), "more than the 30,730"),
    "label 255": (relabel, "record 3 has the label 255; labels are 0 to 9"),
    "text": (lambda path: path.write_text("not pixels\n" * 500), "truncated or foreign"),
    "text of the right size": (lambda path: path.write_text("a" * RECORD), "has the label 97"),
    "missing": (lambda path: path.unlink(), "No such file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_name(root: Path, case: str) -> None:
    damage, words = BAD[case]
    damage(root / TRAIN[2])
    with pytest.raises(ConfigError, match=r"data_batch_3\.bin: ") as caught:
        load(config(root))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_settings_and_missing_data(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"put data_batch_1\.bin to data_batch_5\.bin and test"):
        load(config(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="samples_per_class=21: must be at most 20"):
        load(config(root, samples_per_class=21))
    with pytest.raises(ConfigError, match="validation_samples_per_class"):
        config(root, validation="split")
    runs = [
        RunConfig(dataset=one, model=MLPConfig())
        for one in (config(root), config(tmp_path / "elsewhere", download=True))
    ]
    assert runs[0].identity() == runs[1].identity()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def served(root: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The archive of the six files behind a real web server: its address and its file."""
    folder = tmp_path / "web"
    folder.mkdir()
    with tarfile.open(folder / ARCHIVE, "w:gz") as tar:
        tar.add(root, arcname=FOLDER)
    handler = lambda *args: Quiet(*args, directory=str(folder))  # noqa: E731
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{ARCHIVE}", folder / ARCHIVE
        server.shutdown()


def md5(path: Path) -> str:
    return "md5:" + hashlib.md5(path.read_bytes()).hexdigest()


SIZE = PER_FILE * RECORD


def test_download(served: tuple[str, Path], root: Path, tmp_path: Path) -> None:
    url, archive = served
    folder = download(tmp_path / "new", url, md5(archive), SIZE)
    for name in (*TRAIN, TEST):
        assert (folder / name).read_bytes() == (root / name).read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FOLDER]
    np.testing.assert_array_equal(
        load(config(tmp_path / "new")).train_inputs, load(config(root)).train_inputs
    )


def nothing_in(place: Path) -> bool:
    """No file that could be taken for data."""
    return not list(place.rglob("*.bin"))


def test_a_wrong_checksum_is_refused(served: tuple[str, Path], tmp_path: Path) -> None:
    url, archive = served
    right = md5(archive)
    archive.write_bytes(archive.read_bytes()[:-1000])  # a download cut short
    with pytest.raises(ConfigError, match="hash"):
        download(tmp_path / "new", url, right, SIZE)
    assert nothing_in(tmp_path / "new")


def test_wrong_sizes_missing_members_and_no_connection(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    url, archive = served
    with pytest.raises(ConfigError, match="has 122,920 bytes, not 30,730,000"):
        download(tmp_path / "new", url, md5(archive))
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(f"{FOLDER}/{TEST}"), io.BytesIO())
    with pytest.raises(ConfigError, match="lacks"):
        download(tmp_path / "other", url, md5(archive), 0)
    with pytest.raises(ConfigError, match=r"downloading .* failed: "):
        download(tmp_path / "third", "http://127.0.0.1:9/none", "md5:" + "0" * 32)
    assert nothing_in(tmp_path / "new")
    assert nothing_in(tmp_path / "other")


def test_an_archive_cannot_write_elsewhere(
    served: tuple[str, Path], root: Path, tmp_path: Path
) -> None:
    url, archive = served
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("../escaped.bin", "/tmp/escaped.bin", f"{FOLDER}/extra.bin"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo(f"{FOLDER}/{TRAIN[0]}")
        link.type, link.linkname = tarfile.SYMTYPE, str(root / TRAIN[0])
        tar.addfile(link)
        for name in (*TRAIN[1:], TEST):
            tar.add(root / name, arcname=f"{FOLDER}/{name}")
    with pytest.raises(ConfigError, match=r"the archive lacks .*/data_batch_1\.bin$"):
        download(tmp_path / "new", url, md5(archive), SIZE)
    assert not (tmp_path / "escaped.bin").exists()
    assert not Path("/tmp/escaped.bin").exists()
    assert nothing_in(tmp_path / "new")


def test_an_interrupted_download_starts_clean(
    served: tuple[str, Path], root: Path, tmp_path: Path
) -> None:
    """Half an archive under pooch's temporary name, and half under the archive's own name."""
    url, archive = served
    place = tmp_path / "new"
    place.mkdir()
    half = archive.read_bytes()[: archive.stat().st_size // 2]
    (place / "tmpabcdef").write_bytes(half)
    (place / ARCHIVE).write_bytes(half)
    folder = download(place, url, md5(archive), SIZE)
    assert (folder / TEST).read_bytes() == (root / TEST).read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
@pytest.mark.parametrize(
    ("options", "words"), [("size=256k", "No space left"), ("size=1m,ro", "Read-only")]
)
def test_a_full_disk_and_a_read_only_directory(
    served: tuple[str, Path], tmp_path: Path, options: str, words: str
) -> None:
    url, archive = served
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        with pytest.raises(ConfigError, match=words):
            download(place, url, md5(archive), SIZE)
        assert nothing_in(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    ("overrides", "lr", "batch_size"),
    [
        ([], 1.0, None),
        (["dataset=cifar10"], 0.02, 512),
        (["model=myrtle5"], 0.02, 512),
        (["model=wide_resnet", "dataset=cifar10", "optimizer.batch_size=64"], 0.02, 64),
        (["dataset=cifar10", "optimizer=sgd"], 1.0, None),
        (["dataset=cifar10", "model=mlp", "optimizer.lr=0.1"], 0.1, 512),
        (["+sweep=cifar10_wide_resnet"], 0.1, 128),
    ],
)
def test_images_train_in_minibatches_unless_another_optimizer_is_chosen(
    overrides: list[str], lr: float, batch_size: int | None
) -> None:
    register_schemas()
    with initialize_config_module("dynsweep.conf", version_base="1.3"):
        optimizer = compose("config", overrides).optimizer
    assert (optimizer.lr, optimizer.batch_size) == (lr, batch_size)


@pytest.mark.slow
def test_a_command_by_hand_says_how_it_trains(
    root: Path, dynsweep: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """As a multirun, whose jobs choose the model; with all images it warns in one line."""
    command = [
        "-m", "dataset=cifar10", f"dataset.root={root}", "epochs=1", "loss.period=2",
        "optimizer.batch_size=100,null", "report=false", "hydra.sweep.dir=sweep",
    ]  # fmt: skip
    done = dynsweep(*command, "model=mlp,myrtle5", "model.width=2")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "(myrtle5, width 2, 2 steps, SGD on minibatches of 100)" in done.stdout
    assert "(myrtle5, width 2, 1 steps, SGD on the whole training set)" in done.stdout
    warning = "1 of 4 runs train a convolutional network with all images at every step"
    assert done.stdout.count(warning) == done.stdout.count("convolutional") == 1
