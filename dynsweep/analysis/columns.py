"""The columns of the tables: which are settings, which outcomes, and what diagrams show."""

from collections.abc import Collection, Iterable
from typing import Any

import pandas as pd

from dynsweep.config import SETTINGS, Setting
from dynsweep.config.labels import listed
from dynsweep.config.run import settings_of
from dynsweep.metrics import COLUMNS as COLUMN_WORDS
from dynsweep.store import METRICS

# Settings that people plot, first in every table.
FIRST = ("dataset", "model", "width", "lr", "period", "amplitude", "seed")
OUTCOME = ("status", *METRICS, "seconds")
LAST = ("engine", "device", "error", "number", "id", "sweep")

# Names of columns by the settings' names.
COLUMNS = {name: setting.column for name, setting in SETTINGS.items()}
# Groups that hold settings which decide the result, and such settings of no group.
DECIDING = {name.partition(".")[0] for name, setting in SETTINGS.items() if setting.identity}
KINDS = ("dataset.kind", "model.kind")  # see ``kinds``
PLACE = {setting.column for setting in SETTINGS.values() if not setting.identity} | {*KINDS}
BROUGHT = {
    setting.column
    for setting in SETTINGS.values()
    if setting.follows or setting.name.endswith("._target_")
}
# Settings that mean nothing at amplitude 1: the static loss holds at all their values.
DYNAMICAL_SETTINGS = [setting.column for setting in SETTINGS.values() if setting.dynamical]

ACCURACIES = ("train_accuracy", "validation_accuracy")
GAIN = "gain_"  # starts the name of an accuracy's gain over the static loss
# The columns that a diagram can show, by the name that users type and that files bear.
QUANTITIES = {
    **{metric: metric for metric in METRICS},
    **{f"{GAIN}{metric}": f"{metric}_gain" for metric in ACCURACIES},
}
# What a diagram can show of cells alone.
CELL_QUANTITIES = {
    "learning_probability": "learning_share",
    "seeds": "seeds",
    **{f"{metric}_error": f"{metric}_error" for metric in METRICS},
}
WORDS = {
    **COLUMN_WORDS,
    **{f"{GAIN}{name}": f"gain in {COLUMN_WORDS[name]}" for name in ACCURACIES},
    "learning_probability": "share of seeds that learn",
    "seeds": "seeds",
    **{f"{name}_error": f"error of the {words}" for name, words in COLUMN_WORDS.items()},
}


def cell_column(name: str) -> str:
    """The column of cells that a diagram of one of ``QUANTITIES`` or ``CELL_QUANTITIES`` shows."""
    return CELL_QUANTITIES[name] if name in CELL_QUANTITIES else mean_column(QUANTITIES[name])


def mean_column(metric: str) -> str:
    """The column of cells with the mean over seeds of a metric or gain."""
    return metric if metric.endswith("_gain") else f"{metric}_mean"


def setting_columns(names: Iterable[object]) -> list[str]:
    """Of the columns of runs or cells the settings: ``FIRST``, then by name."""
    words = [str(name) for name in names]
    rest = {name for name in words if name.partition(".")[0] in DECIDING}.difference(FIRST)
    return [*(name for name in FIRST if name in words), *sorted(rest)]


def varying(table: pd.DataFrame) -> list[str]:
    """The settings with more than one value among the rows; not those of the place alone."""
    names = [name for name in setting_columns(table) if name not in PLACE]
    return [name for name in names if table[name].nunique(dropna=False) > 1]


def result_columns(runs: pd.DataFrame) -> list[str]:
    """The columns of results.csv: the contract's first, then all other settings that decide the
    result, those that vary before those that do not.

    Of where and how a run was computed ``engine`` and ``device`` are told, as they were.
    """
    settings = [name for name in setting_columns(runs) if name not in PLACE]
    # What only data and code from outside have is told where there are some.
    settings = [n for n in settings if n not in BROUGHT or set(runs[n].dropna()) - {""}]
    names = dict.fromkeys([*FIRST, *OUTCOME, *varying(runs), *settings, *LAST])
    return [name for name in names if name in runs]


def kinds(table: pd.DataFrame) -> pd.DataFrame:
    """What dataset and model each run or cell has, as on the command line: ``table``, where the
    column ``dataset`` has that table's own name."""
    return pd.DataFrame(
        {
            name: table[kind].fillna(table[name]) if kind in table else table[name]
            for name, kind in zip(("dataset", "model"), KINDS, strict=True)
        }
    )


def unusual(runs: pd.DataFrame, without: Collection[str] = ()) -> dict[str, Any]:
    """Settings that differ from their defaults, with the one value that all runs or cells have.

    In the order of their declarations; not those ``without``, the dataset and the model, nor
    what means nothing to the static loss where there is no other.
    """
    if runs.empty:
        return {}
    dynamical = runs[runs["amplitude"] != 1]
    found = {}
    for setting in settings_of(*kinds(runs).iloc[0]).values():
        name = setting.column
        rows = dynamical if setting.dynamical else runs
        if not setting.identity or setting.follows or name not in runs:
            continue
        if name in (*without, "dataset", "model", "dataset._target_", "model._target_"):
            continue
        if rows[name].nunique(dropna=False) == 1:
            value = rows[name].iloc[0]
            if value != _held(setting) if pd.notna(value) else setting.default is not None:
                found[name] = value
    return found


def _held(setting: Setting) -> object:
    """A default as tables have it: lists are text."""
    return listed(setting.default) if isinstance(setting.default, tuple) else setting.default
