"""What a command asks to be recorded along its runs, and what records have of it."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from dynsweep.config import ObserveConfig, Run, flatten, replaced
from dynsweep.store import SweepPaths

# The setting that is 0 where a quantity is not recorded, and the quantity in words.
QUANTITIES = {
    "observe.records": "loss and accuracy",
    "observe.loss_every": "F(t)",
    "observe.class_accuracy_every": "the classes' accuracy",
    "observe.snapshots_every": "snapshots",
    "observe.sharpness.every": "sharpness",
    "observe.ntk.every": "the neural tangent kernel",
    "observe.landscape.every": "the landscape",
}
WEIGHTS = "final weights"
FILES = {"observe.snapshots_every": "snapshots"}  # the others are in the trajectory

Asked = dict[str, dict[str, Any]]


class Files:
    """The files of a sweep that its records may name."""

    def __init__(self, directory: Any) -> None:
        paths = SweepPaths(directory)
        self._folders = {
            "trajectory": paths.trajectories,
            "snapshots": paths.snapshots,
            "weights": paths.weights,
        }
        self._names: dict[str, set[str]] = {}

    def has(self, record: Mapping[str, Any], kind: str) -> bool:
        """Whether the file of that kind that a record names is there."""
        if kind not in self._names:
            folder = self._folders[kind]
            self._names[kind] = {path.name for path in folder.glob("*")}
        name, names = record.get(kind), self._names[kind]
        # Another process may have written it since.
        if isinstance(name, str) and name not in names:
            with suppress(OSError):
                names.update([name] * (self._folders[kind] / name).exists())
        return name in names


def asked(run: Run) -> Asked:
    """What a run is to record, each quantity by its switch with its settings by dotted name.

    Final weights are asked for by ``save_weights=true`` in so many words: it is the default.
    """
    wanted = dict(_of(run.settings.observe))
    if any(text.lower() == "save_weights=true" for text in run.overrides):
        wanted["save_weights"] = {}
    return wanted


@cache
def _of(observe: ObserveConfig) -> Asked:
    return _quantities(flatten(observe, "observe."))


def _quantities(flat: Mapping[str, Any]) -> Asked:
    found: Asked = {}
    for switch in QUANTITIES:
        if flat.get(switch):
            group = switch.rpartition(".")[0] + "."
            names = [name for name in flat if name.startswith(group)]
            if switch == "observe.records":
                names = [switch, "observe.spacing"]
            elif group == "observe.":
                names = [switch]
            found[switch] = {name: flat[name] for name in names if name in flat}
    return found


def lacking(record: Mapping[str, Any], wanted: Asked, files: Files) -> list[str]:
    """The switches of what is asked for and not recorded, or recorded in a file that is gone."""
    recorded = _quantities(record["config"])
    lacks = []
    for switch, settings in wanted.items():
        kind = "weights" if switch == "save_weights" else FILES.get(switch, "trajectory")
        held = recorded.get(switch)
        there = kind == "weights" or (held is not None and _covers(switch, held, settings))
        # A training of no steps, or one that could not write, names none.
        if not there or ((kind in record or kind == "weights") and not files.has(record, kind)):
            lacks.append(switch)
    return lacks


def _covers(switch: str, held: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a quantity that was recorded with the settings ``held`` is what is asked for."""
    often = switch == "observe.records" or settings[switch] % held[switch]
    same = [name for name in settings if often or name != switch]
    return all(held.get(name) == settings[name] for name in same)


def merged(run: Run, record: Mapping[str, Any], others: Asked) -> Run:
    """The run as it is to be trained again: with what it asks for, what ``others`` ask for that
    are the same run, and what its record has, which the new one takes the place of."""
    values: dict[str, Any] = {}
    for quantities in (_quantities(record.get("config", {})), others, asked(run)):
        for switch, settings in quantities.items():
            values |= settings | ({switch: True} if switch == "save_weights" else {})
    if "weights" in record:
        values["save_weights"] = True
    known = flatten(run.settings)
    values = {name: value for name, value in values.items() if name in known}
    if all(known[name] == value for name, value in values.items()):
        return run
    return Run(run.number, run.overrides, replaced(run.settings, values))


def words(switches: Collection[str]) -> str:
    """For people."""
    return ", ".join(QUANTITIES.get(one, WEIGHTS) for one in switches)
