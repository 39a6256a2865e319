"""Own data from a file of rows: read as they are, refused in one line, known by their content."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dynsweep.analysis.frame import load_runs
from dynsweep.analysis.statistics import cells
from dynsweep.config import RunConfig, TableConfig
from dynsweep.config.intent import resolved
from dynsweep.engines import choose
from dynsweep.errors import ConfigError
from dynsweep.figures.phase_diagram import _chance

Dynsweep = Callable[..., subprocess.CompletedProcess[str]]
SIZES = {"cat": 12, "dog": 6, "NA": 4}


def table(sizes: dict[str, int] = SIZES) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kinds = [kind for kind, count in sizes.items() for _ in range(count)]
    centre = np.array([list(sizes).index(kind) for kind in kinds])
    return pd.DataFrame(
        {
            "height": 170 + 10 * centre + rng.normal(size=len(kinds)),
            "weight": 60 - 5 * centre + rng.normal(size=len(kinds)),
            "note": [f"no. {row}" for row in range(len(kinds))],
            "legs": 4,
            "kind": kinds,
        }
    )


def write(path: Path, rows: pd.DataFrame | None = None, **options: object) -> Path:
    separator = "\t" if path.suffix == ".tsv" else ","
    (table() if rows is None else rows).to_csv(path, index=False, sep=separator, **options)
    return path


def test_a_table_is_split_by_class_and_standardised_by_its_training_part(tmp_path: Path) -> None:
    config = TableConfig(file=str(write(tmp_path / "pets.csv"))).resolved()
    data = config.load()
    assert data.names == ("NA", "cat", "dog")  # a class may be called NA
    assert np.bincount(data.train_labels).tolist() == [3, 9, 4]
    assert np.bincount(data.validation_labels).tolist() == [1, 3, 2]
    assert data.axes == tuple(f"{name} (standardised)" for name in ("height", "weight", "legs"))
    np.testing.assert_allclose(data.train_inputs.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.train_inputs[:, :2].std(axis=0), 1)
    assert (data.train_inputs[:, 2] == 0).all()  # a constant column
    assert (config.title, config.chance, config.inputs_count) == ("pets", 9 / 16, 3)
    other = TableConfig(file=config.file, seed=1).resolved().load()
    assert not np.array_equal(other.validation_inputs, data.validation_inputs)
    plain = TableConfig(file=config.file, inputs=("weight", "height"), standardize=False).load()
    every = np.concatenate([plain.train_inputs, plain.validation_inputs])
    expected = table()[["weight", "height"]].to_numpy()
    np.testing.assert_array_equal(np.sort(every, axis=0), np.sort(expected, axis=0))


def test_a_run_is_known_by_the_content_and_not_by_the_path(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv")

    def identity(path: Path, **settings: object) -> str:
        config = TableConfig(file=str(path), **settings)  # type: ignore[arg-type]
        return resolved(RunConfig(dataset=config)).identity()

    (tmp_path / "elsewhere").mkdir()
    same = write(tmp_path / "elsewhere" / "b.csv")
    tabs = write(tmp_path / "c.tsv")
    arrays, numbers = tmp_path / "d.npz", table()[["height", "weight", "legs"]].to_numpy()
    np.savez(arrays, inputs=numbers, labels=table()["kind"].to_numpy(str))
    assert len({identity(path) for path in (first, same, tabs)}) == 1
    data = [TableConfig(file=str(path)).load() for path in (first, arrays)]
    np.testing.assert_array_equal(data[0].train_inputs, data[1].train_inputs)
    second = {"validation": str(same)}
    assert identity(first, **second) == identity(first, validation=str(tabs))
    changed = table()
    changed.loc[3, "height"] += 1e-9
    different = write(tmp_path / "e.csv", changed)
    ways = [{}, {"seed": 1}, {"validation": 0.5}, {"standardize": False}, {"inputs": ("height",)}]
    names = [identity(first, **way) for way in [*ways, second, {"validation": str(different)}]]
    assert len({*names, identity(different)}) == len(names) + 1
    # The file of a recorded run that changes is no longer what was trained on.
    config = TableConfig(file=str(first)).resolved()
    write(first, changed)
    with pytest.raises(ConfigError, match="has changed since"):
        config.load()


def test_a_second_file_has_the_classes_of_the_first(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv")
    second = write(tmp_path / "b.csv", table({"dog": 2, "cat": 1}))
    data = TableConfig(file=str(first), validation=str(second)).resolved().load()
    assert len(data.train_labels) == 22
    assert data.validation_labels.tolist() == [2, 2, 1]
    numbers = pd.DataFrame({"x": [0.5, 1, 2, 3], "label": [10, 9, 10, 9]})
    first = write(tmp_path / "c.csv", numbers)
    second = write(tmp_path / "d.csv", numbers.astype(float))  # 10.0 is 10
    data = TableConfig(file=str(first), validation=str(second)).load()
    assert data.names == ("9", "10")
    assert data.validation_labels.tolist() == [1, 0, 1, 0]


def spoilt(column: str, value: object) -> pd.DataFrame:
    rows = table().astype({column: object})
    rows.loc[4, column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "settings", "error"),
    [
        (None, {"file": ""}, "dataset.file=: must name a file of rows"),
        (None, {"file": "no.csv"}, "dataset.file=PATH: no such file or directory"),
        (None, {"file": "pets.txt"}, "must end in .csv, .tsv, .parquet, .npz"),
        (
            None,
            {"label": "kid"},
            "dataset.label=kid: no such column; did you mean kind? allowed: h",
        ),
        (None, {"inputs": ("height", "tail")}, "dataset.inputs=[height,tail]: no such column; al"),
        (None, {"inputs": ("height", "kind")}, "dataset.inputs=[height,kind]: kind is the label"),
        (None, {"inputs": ("note",)}, "row 1 has 'no. 0' in the column note, not a number"),
        (None, {"validation": 1.5}, "dataset.validation=1.5: must be a part of the rows, between"),
        (None, {"validation": "no.csv"}, "dataset.validation=PATH: no such file or directory"),
        (spoilt("height", "tall"), {}, "row 5 has 'tall' in the column height, not a number"),
        (spoilt("height", None), {}, "row 5 has no value in the column height"),
        (spoilt("height", np.inf), {}, "row 5 has an infinite value in the column height"),
        (spoilt("kind", None), {}, "row 5 has no value in the column kind"),
        (table({"cat": 5}), {}, "dataset.label=kind: 'cat' is the only class in its 5 rows"),
        (table({"cat": 5, "dog": 1}), {}, "dataset.label=kind: class 'dog' has 1 row: too small"),
        (table({}), {}, "has no rows"),
        (table()[["kind"]], {}, "has 1 column; a label and an input are needed; commas part"),
        (table()[["note", "kind"]], {}, "has no numeric column besides the label"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    rows: pd.DataFrame | None, settings: dict[str, object], error: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "pets.csv", rows)
    write(tmp_path / "pets.txt")
    for name in ("file", "validation"):
        if isinstance(given := settings.get(name), str) and given:
            settings = {**settings, name: str(tmp_path / given)}
    config = TableConfig(**{"file": str(path), **settings})  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as refused:
        config.resolved()
    assert error.replace("PATH", str(tmp_path / "no.csv")) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.csv", b"", "cannot be read: No columns to parse"),
        ("a.csv", b"x,y\n1,a\n2,3,b\n", "cannot be read: "),
        ("a.csv", b"x,y\n1,2,a\n2,3,b\n", "cannot be read: Length of header"),
        ("a.csv", b"5.1,3.5,setosa\n4.9,3.0,setosa\n", "the first line must name the columns"),
        ("a.csv", b"\xff\xfe\x00x", "cannot be read: "),
        ("a.npz", b"PK nothing", "cannot be read: "),
        ("a.parquet", b"nothing", "dataset.file=.*a.parquet: "),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    name: str, content: bytes, error: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=error) as refused:
        TableConfig(file=str(tmp_path / name)).resolved()
    assert "\n" not in str(refused.value)


def test_a_written_index_is_no_input(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "a.csv")
    assert TableConfig(file=str(tmp_path / "a.csv")).load().train_inputs.shape == (16, 3)
    pd.DataFrame(np.c_[np.eye(4), [0, 1, 0, 1]]).to_csv(tmp_path / "b.csv", index=False)
    data = TableConfig(file=str(tmp_path / "b.csv"), label="4", standardize=False).load()
    assert data.train_inputs.shape == (2, 4)  # whose names are 0, 1, 2 and 3


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    table().to_parquet(tmp_path / "a.parquet")
    contents = [
        TableConfig(file=str(path)).resolved().content
        for path in (tmp_path / "a.parquet", write(tmp_path / "a.csv"))
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("inputs", "engine"), [(2, "compiled"), (7, "compiled"), (64, "reference")]
)
def test_any_number_of_inputs_trains(inputs: int, engine: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 10
    np.savez(tmp_path / "a.npz", inputs=rng.normal(size=(60, inputs)), labels=labels)
    run = resolved(RunConfig(dataset=TableConfig(file=str(tmp_path / "a.npz"))))
    run = RunConfig(dataset=run.dataset, model=_mlp(), steps=3)
    assert choose(run, "cpu").name == engine


def _mlp() -> object:
    from dynsweep.config import MLPConfig

    return MLPConfig(width=8)


@pytest.mark.slow
def test_tables_are_swept_and_go_by_their_names(tmp_path: Path, dynsweep: Dynsweep) -> None:
    write(tmp_path / "pets.csv")
    write(tmp_path / "wild.csv", table({"wolf": 20, "fox": 4}))
    command = [
        "-m", "dataset=table", "dataset.file=pets.csv,wild.csv", "loss.period=5", "steps=20",
        "loss.amplitude=1,9", "model.width=8", "hydra.sweep.dir=d", "report=false",
    ]  # fmt: skip
    done = dynsweep(*command)
    assert done.returncode == 0, done.stderr
    runs = pd.read_csv(tmp_path / "d" / "results.csv")
    assert runs["dataset"].tolist() == ["pets", "pets", "wild", "wild"]
    assert set(runs["engine"]) == {"compiled"}
    assert "dataset.file" not in runs
    assert "dataset.chance" not in runs
    found = cells(load_runs([tmp_path / "d"]))
    assert _chance(found) == 9 / 16
    assert _chance(found[found["dataset"] == "wild"]) == 15 / 18
    # The same content elsewhere is the same run.
    (tmp_path / "pets.csv").rename(tmp_path / "animals.csv")
    command[2] = "dataset.file=animals.csv,wild.csv"
    again = dynsweep(*command)
    assert "4 of 4 runs are in d already" in again.stdout
    for word, error in (
        ("dataset.validation=1", "must be a part between 0 and 1, or a file"),
        ("dataset.inputs=height", "must be a list, as in [a,b]"),
    ):
        refused = dynsweep(*command, word)
        assert refused.stderr == f"dynsweep: error: {word}: {error}\n"
    refused = dynsweep(*command, "dataset.label=name")
    assert refused.returncode == 2
    assert refused.stderr.startswith("dynsweep: error: dataset.label=name: no such column")
    assert len(refused.stderr.splitlines()) == 1
    assert len(pd.read_csv(tmp_path / "d" / "results.csv")) == 4
