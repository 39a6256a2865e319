"""Readers of records: what is whole is read, whatever happened to the rest."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from dynsweep.config.run import digest, distinguishing
from dynsweep.errors import DynsweepError
from dynsweep.store.damage import Damaged, left_out
from dynsweep.store.files import SweepPaths
from dynsweep.store.records import FINISHED, FORMAT
from dynsweep.store.sealed import SEAL, intact, plain, unseal
from dynsweep.store.unsealed import fault, head_fault

MOST_PLACES = 8  # of damage that are named in a line

Entry = dict[str, Any]


def read(directory: str | Path, label: str = "") -> Iterator[Entry]:
    """All records of a sweep directory as written: a run may occur more than once.

    Args:
        directory: of the sweep.
        label: leaves out the files of the siblings of the writer that bears it, see
            :meth:`SweepPaths.records`.

    Yields:
        One dict per record: its own fields, its batch's shared ones, ``config`` with all settings
        by dotted name, and ``identity``, which follows from the config under the present rule,
        whatever rule the record's ``id`` is of; files of the batch know the run by ``id``. Metrics
        that were not finite are ``None``. What is damaged is left out, with a warning.

    Raises:
        DynsweepError: a file is of a later format.
    """
    for path in SweepPaths(directory).records(label):
        yield from read_file(path)


def latest(directory: str | Path, label: str = "") -> dict[str, Entry]:
    """Of every run the record that counts, by identity: its latest finished one, or its latest."""
    return count(read(directory, label), {})


def count(entries: Iterator[Entry], records: dict[str, Entry]) -> dict[str, Entry]:
    """Put the record that counts of every run into ``records``, by identity: out of those there,
    and of later ones in the order of writing."""
    for entry in entries:
        held = records.get(entry["identity"])
        if held is None or supersedes(entry["status"], held["status"]):
            records[entry["identity"]] = entry
    return records


def supersedes(status: str, earlier: str) -> bool:
    """Whether a record counts instead of an earlier one of the same run, by their statuses."""
    return status in FINISHED or earlier not in FINISHED


def read_file(path: Path, torn: bool = True) -> Iterator[Entry]:
    """The records of one file, see :func:`read`; ``torn`` whether an end that was cut is damage,
    not a writer at work."""
    try:
        with path.open("rb") as file:
            yield from _File(path, torn).read(file)
    except OSError as error:
        if path.is_symlink() and isinstance(error, FileNotFoundError):
            error = OSError(error.errno, "a link to nothing")
        left_out(Damaged(path, error), "runs recorded there, if any, are trained again")


@dataclass
class _Head:
    """What the records of a batch share."""

    shared: Entry
    named: bool = field(init=False)  # whether it has the names of dataset and model
    distinguishing: Entry = field(init=False)

    def __post_init__(self) -> None:
        config = self.shared["config"]
        # Of most records' identity only the varied settings are looked at one by one.
        self.named = {"dataset.name", "model.name"} <= config.keys()
        self.distinguishing = distinguishing(config, config) if self.named else {}

    def entry(self, own: Entry) -> Entry:
        config = {**self.shared["config"], **own["config"]}
        rest = distinguishing(own["config"] if self.named else config, config)
        identity = digest({**self.distinguishing, **rest})
        return {**self.shared, **own, "config": config, "identity": identity}


@dataclass
class _File:
    """One file of records. Its lines are sealed, or it is of a version that did not do so."""

    path: Path
    torn: bool
    heads: dict[str, _Head] = field(default_factory=dict)
    waiting: list[tuple[int, Entry]] = field(default_factory=list)  # for the head behind them
    damaged: list[int] = field(default_factory=list)  # numbers of lines
    doubtful: bool = False  # one of these may have been the head of what follows

    def read(self, file: BinaryIO) -> Iterator[Entry]:
        sealed = any(SEAL in line for line in file)
        file.seek(0)
        for number, line in enumerate(file, start=1):
            for value in self._values(number, line, sealed):
                entry = self._sealed(number, value) if sealed else self._unsealed(number, value)
                if entry is not None:
                    yield _readable(entry) if b"\\u" in line else entry
        for number, value in self.waiting:
            if value["of"] in self.heads:
                yield _readable(self.heads[value["of"]].entry(_own(value)))
            else:
                self.damaged.append(number)
        if self.damaged:
            text = f"{self.path}, {places(sorted(set(self.damaged)))}: damaged"
            left_out(text, "any run recorded there, and nowhere else, is trained again")

    def _values(self, number: int, line: bytes, sealed: bool) -> list[Entry]:
        """What is whole in a line: one value, if all is well."""
        ended = line.endswith(b"\n")
        if not sealed:
            if not ended:
                self.damaged += [number] * self.torn
                return []
            value = plain(line)
            if value is None:
                self.damaged.append(number)
                self.doubtful = True
            return [] if value is None else [value]
        value = unseal(line.rstrip(b"\n"))
        if value is not None:
            return [value]
        if ended or self.torn:
            self.damaged.append(number)
        return list(intact(line))

    def _sealed(self, number: int, value: Entry) -> Entry | None:
        if "batch" in value:
            self._check_format(value["batch"])
            if value["name"] not in self.heads:
                self.heads[value["name"]] = _Head(value["batch"])
        elif value["of"] in self.heads:
            return self.heads[value["of"]].entry(_own(value))
        else:
            self.waiting.append((number, value))
        return None

    def _unsealed(self, number: int, value: Entry) -> Entry | None:
        """As versions before wrote it: a record belongs to the head before it."""
        if "batch" in value:
            self.heads, self.doubtful = {}, False
            self._check_format(value["batch"])
            if not head_fault(value["batch"]):
                self.heads[""] = _Head(value["batch"])
                return None
        elif (head := self.heads.get("")) and not fault(value, head.shared):
            entry = head.entry(value)
            # The id tells, where it is of the present rule.
            if not self.doubtful or entry["id"] == entry["identity"]:
                return entry
        self.damaged.append(number)
        return None

    def _check_format(self, head: Any) -> None:
        if isinstance(head, dict) and head.get("format") in range(FORMAT + 1, 1000):
            raise DynsweepError(
                f"{self.path}: of format {head['format']}, written by a newer dynsweep; "
                f"this one reads up to {FORMAT}"
            )


def _own(value: Entry) -> Entry:
    """A record without what only its file needs."""
    return {name: item for name, item in value.items() if name not in ("crc", "of")}


def _readable(value: Any) -> Any:
    """With texts that files and terminals take: halves of characters are spelled out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {_readable(name): _readable(item) for name, item in value.items()}
    return value


def places(numbers: list[int]) -> str:
    """Lines in words: ``lines 3, 5-9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    words = [str(low) if low == high else f"{low}-{high}" for low, high in spans]
    if len(words) > MOST_PLACES:
        words[MOST_PLACES:] = [f"... ({len(numbers)} in all)"]
    return f"line{'s' * (len(numbers) > 1)} {', '.join(words)}"
