"""Read a file of rows: numeric inputs and a label, with errors that name the row.

Rows are counted from 1, without the line of names.
"""

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynsweep.errors import ConfigError, no_such

MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "?"]
UNNAMED = "Unnamed: "  # what pandas calls a column without a name, such as a written index
MOST_LISTED = 12
NO_NAMES = "the first line must name the columns, and holds numbers"


@dataclass(frozen=True)
class Rows:
    """The rows of a file.

    Attributes:
        inputs: ``(rows, columns)``, finite.
        values: what stands in the column of labels, numbers or text, ``(rows,)``.
        label: the name of that column.
        columns: the names of the inputs.
        digest: of all this, whatever the format of the file.
        setting: that names the file.
        path: of the file.
    """

    inputs: NDArray[np.float64]
    values: NDArray[Any]
    label: str
    columns: tuple[str, ...]
    digest: str
    setting: str
    path: str

    def classes(self) -> tuple[NDArray[np.int64], list[str]]:
        """Each row's class, and the classes' names in order."""
        names, labels = np.unique(self.values, return_inverse=True)
        return labels.astype(np.int64), [_name(name) for name in names.tolist()]

    def known(self, training: "Rows") -> NDArray[np.int64]:
        """Each row's class, of those of the training file.

        Raises:
            ConfigError: that has no such class.
        """
        names = np.unique(training.values).tolist()
        places = {name: place for place, name in enumerate(names)}
        values = self.values.tolist()
        if isinstance(names[0], str):
            values = [_name(value) for value in values]
        for row, value in enumerate(values, start=1):
            if value not in places:
                shown = ", ".join(map(_name, names[:MOST_LISTED]))
                text = f"row {row}: class {_name(value)!r} is not in the training file ({shown})"
                raise ConfigError(self.setting, self.path, text)
        return np.array([places[value] for value in values], dtype=np.int64)


def _name(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


def read(setting: str, path: str, label: str | None, inputs: tuple[str, ...]) -> Rows:
    """The columns asked for, by default the last as the label and all other numeric ones.

    Raises:
        ConfigError: of ``setting`` with ``path``, or of the column that is not there.
    """
    kind = Path(path).suffix.lower()
    reader = READERS.get(kind)
    if reader is None:
        raise ConfigError(setting, path, f"must end in {', '.join(READERS)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = reader(Path(path).read_bytes(), label)
    except ImportError:
        raise ConfigError(setting, path, "needs pip install pyarrow") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, MemoryError, Warning) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        allowed = f"cannot be read: {reason or type(error).__name__}"
        raise ConfigError(setting, path, allowed) from None
    table.columns = [str(name) for name in table.columns]
    if not len(table):
        raise ConfigError(setting, path, "has no rows")
    if len(table.columns) < 2:
        hint = "" if kind in (".npz", ".parquet") else "; commas part those of .csv, tabs of .tsv"
        raise ConfigError(setting, path, f"has 1 column; a label and an input are needed{hint}")
    names = [str(name) for name in table.columns if not str(name).startswith(UNNAMED)]
    label = names[-1] if label is None else label
    for group, name in [("label", label), *(("inputs", name) for name in inputs)]:
        if name not in table.columns:
            typed = f"[{','.join(inputs)}]" if group == "inputs" else name
            words = no_such(name, names[:MOST_LISTED]).replace("setting", "column")
            more = ", ..." * (len(names) > MOST_LISTED)
            raise ConfigError(f"dataset.{group}", typed, f"{words}{more} ({path})")
    if label in inputs:
        raise ConfigError("dataset.inputs", f"[{','.join(inputs)}]", f"{label} is the label")

    def numbers(name: str) -> NDArray[np.float64] | None:
        return _numbers(setting, path, name, table[name], asked=name in inputs)

    chosen = inputs or tuple(name for name in names if name != label)
    columns = {name: found for name in chosen if (found := numbers(name)) is not None}
    if not columns:
        raise ConfigError(setting, path, "has no numeric column besides the label")
    values = _labels(setting, path, label, table[label])
    rows = np.stack(list(columns.values()), axis=1)
    digest = hashlib.sha256(json.dumps([label, list(columns)]).encode())
    digest.update(np.ascontiguousarray(rows).tobytes())
    digest.update("\0".join(map(_name, values.tolist())).encode())
    return Rows(rows, values, label, tuple(columns), digest.hexdigest(), setting, path)


def _numbers(
    setting: str, path: str, name: str, column: pd.Series, asked: bool
) -> NDArray[np.float64] | None:
    """A column of finite numbers; ``None`` if it is wholly text and nobody asked for it."""
    missing = column.isna()
    if pd.api.types.is_numeric_dtype(column):
        found = np.asarray(column.astype("Float64").to_numpy(float, na_value=np.nan))
    else:
        text = column.astype(str)
        parsed = pd.to_numeric(text.where(~missing), errors="coerce")
        found = np.asarray(parsed, np.float64)
        wrong = np.isnan(found) & ~missing.to_numpy(bool)
        if wrong.all() and not asked:
            return None
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            allowed = f"row {row + 1} has {text.iloc[row]!r} in the column {name}, not a number"
            raise ConfigError(setting, path, allowed)
    for bad, what in ((np.isnan(found), "no value"), (np.isinf(found), "an infinite value")):
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ConfigError(setting, path, f"row {row + 1} has {what} in the column {name}")
    return found.astype(np.float64, copy=False)


def _labels(setting: str, path: str, name: str, column: pd.Series) -> NDArray[Any]:
    """What stands there: numbers if all are, else text."""
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise ConfigError(setting, path, f"row {row + 1} has no value in the column {name}")
    text = column.astype(str).str.strip()
    found = pd.to_numeric(text, errors="coerce").to_numpy(float, na_value=np.nan)
    return found if np.isfinite(found).all() else text.to_numpy(str)


def _delimited(separator: str) -> Callable[[bytes, str | None], pd.DataFrame]:
    def parse(content: bytes, label: str | None) -> pd.DataFrame:
        options: dict[str, Any] = {
            "sep": separator, "encoding": "utf-8-sig", "index_col": False,
            "skipinitialspace": True,
        }  # fmt: skip
        names = [str(name) for name in pd.read_csv(io.BytesIO(content), nrows=0, **options)]
        if _are_numbers(names):
            raise ValueError(NO_NAMES)
        named = [name for name in names if not name.startswith(UNNAMED)]
        label = label if label is not None else (named or names)[-1]
        # A class may be called NA or null.
        blank = {name: [""] if name == label else MISSING for name in names}
        table: pd.DataFrame = pd.read_csv(
            io.BytesIO(content), dtype={label: str}, na_values=blank, keep_default_na=False,
            low_memory=False, **options,
        )  # fmt: skip
        return table

    return parse


def _are_numbers(names: list[str]) -> bool:
    """Whether a line of names is one of values: most are numbers, and do not just count."""
    numbers = pd.to_numeric(pd.Series(names[:-1]), errors="coerce").dropna().tolist()
    counting = [float(number) for number in range(len(numbers))]
    return 2 * len(numbers) > len(names[:-1]) and numbers != counting


def _parquet(content: bytes, label: str | None) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(content))


def _npz(content: bytes, label: str | None) -> pd.DataFrame:
    """Arrays ``inputs (samples, columns)``, columns named 0, 1, ..., and ``labels (samples,)``."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        if not {"inputs", "labels"} <= set(arrays.files):
            raise ValueError(f"must hold inputs and labels, not {', '.join(arrays.files)}")
        inputs, labels = arrays["inputs"], arrays["labels"]
    if inputs.ndim != 2 or labels.shape != inputs.shape[:1] or not inputs.size:
        text = f"inputs must be (samples, columns) and labels (samples,), not {inputs.shape}"
        raise ValueError(f"{text} and {labels.shape}")
    table = pd.DataFrame(inputs)
    table["labels"] = labels
    return table


READERS: dict[str, Callable[[bytes, str | None], pd.DataFrame]] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".parquet": _parquet,
    ".npz": _npz,
}
