"""The columns of the tables: which are settings, which outcomes, and what diagrams show."""

from collections.abc import Iterable

import pandas as pd

from dynsweep.config import SETTINGS
from dynsweep.metrics import COLUMNS as COLUMN_WORDS
from dynsweep.store import METRICS

# Settings that people plot, first in every table.
FIRST = ("dataset", "model", "width", "lr", "period", "amplitude", "seed")
OUTCOME = ("status", *METRICS, "seconds")
# Settings that results.csv holds even where all runs have the same.
ALWAYS = (
    "model.init",
    "steps",
    "epochs",
    "optimizer.batch_size",
    "precision",
    "loss.last_period_static",
    "loss.counting",
    "dataset.classes",  # sets the chance level
)
LAST = ("engine", "device", "error", "number", "id")

# Names of columns by the settings' names.
COLUMNS = {name: setting.column for name, setting in SETTINGS.items()}
# Groups that hold settings which decide the result, and such settings of no group.
DECIDING = {name.partition(".")[0] for name, setting in SETTINGS.items() if setting.identity}
PLACE = {setting.column for setting in SETTINGS.values() if not setting.identity}
# Settings that mean nothing at amplitude 1: the static loss holds at all their values.
DYNAMICAL_SETTINGS = [setting.column for setting in SETTINGS.values() if setting.dynamical]

ACCURACIES = ("train_accuracy", "validation_accuracy")
GAIN = "gain_"  # starts the name of an accuracy's gain over the static loss
# The columns that a diagram can show, by the name that users type and that files bear.
QUANTITIES = {
    **{metric: metric for metric in METRICS},
    **{f"{GAIN}{metric}": f"{metric}_gain" for metric in ACCURACIES},
}
WORDS = COLUMN_WORDS | {f"{GAIN}{name}": f"gain in {COLUMN_WORDS[name]}" for name in ACCURACIES}


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
    """The columns of results.csv: the contract's first, then settings that vary or matter."""
    settings = [name for name in setting_columns(runs) if name in (*ALWAYS, *varying(runs))]
    names = dict.fromkeys([*FIRST, *OUTCOME, *settings, *LAST])
    return [name for name in names if name in runs]
