"""Records of one or several sweep directories as a tidy table, one row per run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, NoneType

import pandas as pd

from dynsweep.analysis.columns import (
    COLUMNS,
    DECIDING,
    FIRST,
    KINDS,
    OUTCOME,
    kinds,
    setting_columns,
)
from dynsweep.config.labels import listed
from dynsweep.config.run import settings_of
from dynsweep.errors import AnalysisError
from dynsweep.store import METRICS, SweepPaths, read, supersedes

FILES = ("weights", "snapshots", "trajectory")


def load_runs(
    directories: Sequence[str | Path], numbers: Mapping[str, int] = MappingProxyType({})
) -> pd.DataFrame:
    """The runs of :func:`load_frame`, in the order of their settings; of several directories with
    a column ``sweep``, which tells where each is recorded.

    Raises:
        AnalysisError: a directory has no records.
    """
    for directory in directories:
        paths = SweepPaths(directory)
        if not paths.records():
            raise AnalysisError(f"{directory}: no run records (expected {paths.runs}/*.jsonl)")
    runs = ordered(load_frame(directories, numbers))
    return runs.assign(sweep=runs["directory"]) if len(directories) > 1 and len(runs) else runs


def load_frame(
    directories: Sequence[str | Path], numbers: Mapping[str, int] = MappingProxyType({})
) -> pd.DataFrame:
    """Every run once, as recorded: its settings, how it ended, and where its weights are.

    Of several records of a run the one counts that the store's rule says. Settings that decide
    the result are columns, by their short names if they have one, else by their dotted ones;
    whole numbers of which some are missing are ``Int64``. Data and models from outside have their
    own names in ``dataset`` and ``model``, and of which kind they are in ``KINDS``. Further
    columns: ``status``, the four metrics, ``seconds``, ``error``, ``engine``, ``device``,
    ``hardware``, ``software``, ``number``, ``id`` (as written: files of weights and
    trajectories know the run by it), ``overrides``, ``directory``, and the names of these
    ``FILES`` or None. In ``numbers`` runs have other numbers than those that they were recorded
    with, by identity.
    """
    columns: dict[str, list[object]] = {}
    counting: dict[str, int] = {}  # row of each run's record that counts
    rows = 0
    for directory in directories:
        for entry in read(directory):
            identity = entry.pop("identity")
            row = counting.get(identity)
            if row is None or supersedes(entry["status"], str(columns["status"][row])):
                counting[identity] = rows
            config = entry.pop("config")
            for name, value in config.items():
                if name.partition(".")[0] in DECIDING:
                    entry[COLUMNS.get(name, name)] = (
                        listed(value) if type(value) is list else value
                    )
            for group, kind in zip(("dataset", "model"), KINDS, strict=True):
                # What somebody brought goes by its own name.
                if title := config.get(f"{group}.title"):
                    entry[kind], entry[group] = entry.get(group), title
            entry["number"] = numbers.get(identity, entry["number"])
            entry["overrides"] = " ".join(entry["overrides"])
            entry["directory"] = str(directory)
            for name, value in entry.items():
                column = columns.setdefault(name, [])
                column.extend([None] * (rows - len(column)))
                column.append(value)
            rows += 1
    for name in (*FILES, *(METRICS if rows else (*FIRST, *OUTCOME))):
        columns.setdefault(name, [])
    for column in columns.values():
        column.extend([None] * (rows - len(column)))
    found = {name: set(map(type, columns[name])) for name in setting_columns(columns)}
    whole = [name for name, types in found.items() if {NoneType} <= types <= {NoneType, int}]
    types = {**dict.fromkeys(whole, "Int64"), **dict.fromkeys(METRICS, "float64")}
    table = pd.DataFrame(columns).astype(types).iloc[sorted(counting.values())]
    return _with_defaults(table).reset_index(drop=True)


def _with_defaults(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of older versions lack later settings: these have the defaults, as for the identity."""
    lacking = [name for name in setting_columns(runs) if runs[name].isna().any()]
    of_kind = kinds(runs)
    for (dataset, model), part in runs.groupby([of_kind["dataset"], of_kind["model"]]):
        for setting in settings_of(dataset, model).values():
            if setting.column in lacking and setting.default is not None:
                held = runs[setting.column]
                missing = held.isna() & runs.index.isin(part.index)
                runs = runs.assign(**{setting.column: held.mask(missing, setting.default)})
    return runs.infer_objects()


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Runs or cells sorted by their settings; values that do not compare, by their text."""

    def key(column: pd.Series) -> pd.Series:
        return column if pd.api.types.is_numeric_dtype(column) else column.astype(str)

    by = [name for name in (*setting_columns(table), "id") if name in table]
    return table.sort_values(by, key=key, kind="stable").reset_index(drop=True)
