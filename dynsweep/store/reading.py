"""Records read back: all of them, or of each run the one that counts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynsweep.config.run import digest, distinguishing, identity
from dynsweep.errors import DynsweepError
from dynsweep.store.paths import SweepPaths
from dynsweep.store.records import FINISHED, FORMAT


def read(directory: str | Path, label: str = "") -> Iterator[dict[str, Any]]:
    """All records of a sweep directory, as written: a run may occur more than once.

    Args:
        directory: of the sweep.
        label: only of the writers that bear it.

    Yields:
        One dict per record: its own fields, its batch's shared ones, ``config`` with all settings
        by dotted name, and ``identity``, which follows from the config under the present rule,
        whatever rule the record's ``id`` is of; files of the batch know the run by ``id``. Metrics
        that were not finite are ``None``.

    Raises:
        DynsweepError: a file is of a later format.
    """
    for path in SweepPaths(directory).records(label):
        head: dict[str, Any] = {}
        shared: dict[str, Any] | None = None
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the writer was killed here
                entry = json.loads(line)
                if "batch" in entry:
                    head = entry["batch"]
                    if head.get("format", 1) > FORMAT:
                        raise DynsweepError(
                            f"{path}: of format {head['format']}, written by a newer dynsweep; "
                            f"this one reads up to {FORMAT}"
                        )
                    # Of most records' identity only the varied settings are looked at one by one.
                    named = {"dataset.name", "model.name"} <= head["config"].keys()
                    shared = distinguishing(head["config"], head["config"]) if named else None
                    continue
                config = {**head["config"], **entry["config"]}
                if shared is None:
                    known = identity(config)
                else:
                    known = digest({**shared, **distinguishing(entry["config"], config)})
                yield {**head, **entry, "config": config, "identity": known}


def latest(directory: str | Path, label: str = "") -> dict[str, dict[str, Any]]:
    """Of every run the record that counts, by identity: its latest finished one, or its latest."""
    records: dict[str, dict[str, Any]] = {}
    for entry in read(directory, label):
        held = records.get(entry["identity"])
        if held is None or supersedes(entry["status"], held["status"]):
            records[entry["identity"]] = entry
    return records


def supersedes(status: str, earlier: str) -> bool:
    """Whether a record counts instead of an earlier one of the same run, by their statuses."""
    return status in FINISHED or earlier not in FINISHED
