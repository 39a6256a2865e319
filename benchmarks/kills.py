"""The kill drill of the store: commands killed at random moments, and what is left compared.

    python benchmarks/kills.py [--kills 1000] [--seed 0] [--parallel 1]    # about 5 s a kill

A small grid is trained by real commands, in four ways, each killed with SIGKILL at a moment drawn
over the time that it takes: with its workers, or alone, when these end by themselves. So on one
directory until its grid is recorded; a last command is left alone, and the directory compared.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from dynsweep.store import METRICS, SweepPaths, load_trajectories, load_weights, read

GRID = ["seed=range(0,72)", "model.width=20", "steps=12000", "engine.batch_size=4"]
GRID += ["observe=metrics", "observe.records=3", "report=false"]
COMMAND = [sys.executable, "-m", "dynsweep", "-m", *GRID]
SAVING = "checkpoint_minutes=0.0005"
MODES: dict[str, list[list[str]]] = {  # of each the commands that work at once
    "one process": [[]],
    "checkpoints": [[SAVING]],
    "two workers": [["hydra.launcher.workers=2", SAVING]],
    "two commands": [[], [SAVING]],
}
PHASES = ("before training", "while training", "while tables were made")
WRONG = ("records lost", "differing values", "differing tables", "tracebacks", "bad exits")


class Command:
    """A command at work on a directory."""

    def __init__(self, directory: Path, settings: list[str]) -> None:
        self.log = directory.with_name(f"{directory.name}-{time.monotonic_ns()}.log")
        words = [*COMMAND, *settings, f"hydra.sweep.dir={directory}"]
        self.process = subprocess.Popen(words, stdout=self.log.open("w"), stderr=subprocess.STDOUT)

    def kill(self, workers: bool) -> None:
        """With all of its workers, or alone."""
        file = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in [self.process.pid, *map(int, file.read_text().split() if workers else [])]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def recorded(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """All records by identity."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in read(directory):
        found[entry["identity"]].append(entry)
    return found


def values(directory: Path, entry: dict[str, Any]) -> tuple[Any, ...]:
    """What training gave, bit for bit."""
    weights = load_weights(directory, entry["weights"])[entry["id"]]
    metrics = tuple(float(entry[name]).hex() for name in METRICS)
    return entry["status"], metrics, {name: array.tobytes() for name, array in weights.items()}


def tables(directory: Path) -> list[str]:
    """results.csv without what differs between any two sweeps, and what was observed."""
    results = pd.read_csv(directory / "results.csv").drop(columns=["seconds", "number"])
    observed = load_trajectories(directory).sort_values(["id", "step"])
    return [table.to_csv(index=False) for table in (results, observed)]


def leftovers(directory: Path) -> Iterator[str]:
    """What should not be in a complete directory, in words."""
    paths = SweepPaths(directory)
    named = {entry.get(kind) for entry in read(directory) for kind in ("weights", "trajectory")}
    for path in directory.rglob("*"):
        if path.name.endswith(".partial"):
            yield "partial files"
        elif path.parent in (paths.weights, paths.trajectories) and path.name not in named:
            yield f"unmentioned files in {path.parent.name}"
        elif path.parent in (paths.claims, paths.checkpoints):
            yield f"files in {path.parent.name}"


class Drill:
    """What all threads share: the values to compare with, and counts."""

    def __init__(self, root: Path, kills: int, seed: int) -> None:
        self.root, self.kills, self.seed, self.lock = root, kills, seed, threading.Lock()
        self.counts, self.seconds = Counter[str](), dict[str, float]()
        for mode, commands in MODES.items():  # undisturbed
            directory, started = root / mode.replace(" ", "-"), time.monotonic()
            for command in [Command(directory, settings) for settings in commands]:
                self.ended(command)
            self.seconds[mode] = time.monotonic() - started
            if len(self.seconds) == 1:
                runs = recorded(directory).items()
                self.expected = {run: values(directory, entries[0]) for run, entries in runs}
                self.tables = tables(directory)
            self.complete(directory)

    def note(self, what: str, count: int = 1, about: object = "") -> None:
        with self.lock:
            self.counts[what] += count
            if about and count:
                print(f"{what}: {count}, {about}", file=sys.stderr, flush=True)

    def ended(self, command: Command) -> None:
        """One that was left alone."""
        status, text = command.process.wait(), command.log.read_text()
        self.note("tracebacks", "Traceback" in text, text)
        self.note("bad exits", status != 0, f"{status} {text}")

    def compare(self, directory: Path, before: set[str], seen: set[str]) -> set[str]:
        """The runs recorded now; those ``seen`` have been compared."""
        found = recorded(directory)
        self.note("records lost", len(before - found.keys()), directory)
        for run, entry in [(run, entry) for run, some in found.items() for entry in some]:
            if (name := f"{run} {entry['weights']}") not in seen:
                seen.add(name)
                differs = values(directory, entry) != self.expected[run]
                self.note("differing values", differs, f"{directory} {name}")
        return set(found)

    def complete(self, directory: Path) -> None:
        """Compare one whose grid is complete, once none of its workers is left."""
        while f"{directory}/tasks" in subprocess.check_output(["ps", "-eo", "args"], text=True):
            time.sleep(0.1)
        self.compare(directory, set(self.expected), set())
        twice = [e["weights"] for some in recorded(directory).values() for e in some[1:]]
        self.note("records doubled", len(twice), f"{directory} {sorted(set(twice))}")
        self.note("batches doubled", len(set(twice)))
        for what, count in Counter(leftovers(directory)).items():
            self.note(what, count, directory)
        self.note("differing tables", tables(directory) != self.tables, directory)
        self.note("directories completed", 1, f"{directory} after {self.counts['kills']} kills")

    def work(self, thread: int) -> None:
        """Kill until enough is killed."""
        rng = random.Random(f"{self.seed} {thread}")
        while self.counts["kills"] < self.kills:
            directory = Path(tempfile.mkdtemp(dir=self.root))
            runs, seen = set[str](), set[str]()
            while len(runs) < len(self.expected):
                mode, workers = rng.choice(list(MODES)), rng.random() < 0.5
                moments = sorted(rng.uniform(0, self.seconds[mode]) for _ in MODES[mode])
                started, commands = time.monotonic(), [Command(directory, o) for o in MODES[mode]]
                for moment, command in zip(moments, commands, strict=True):
                    try:
                        command.process.wait(max(0, started + moment - time.monotonic()))
                        self.ended(command)
                        self.seconds[mode] = time.monotonic() - started  # as busy as it is now
                    except subprocess.TimeoutExpired:
                        runs |= recorded(directory).keys()
                        command.kill(workers)
                        runs = self.compare(directory, runs, seen)
                        text = command.log.read_text()
                        begun = any(word in text for word in (" together", " workers; ", " alrea"))
                        phase = begun + (begun and len(runs) == len(self.expected))
                        for what in ("kills", PHASES[phase], mode):
                            self.note(what)
                runs = self.compare(directory, runs, seen)
            self.ended(Command(directory, []))
            self.complete(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("kills", 1000), ("seed", 0), ("parallel", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # that a line was cut is no news here
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(options.parallel) as threads:
        drill = Drill(Path(root), options.kills, options.seed)
        print(f"seed {options.seed}; seconds undisturbed: {drill.seconds}")
        list(threads.map(drill.work, range(options.parallel)))
    counts, first = drill.counts, ("kills", *PHASES, *MODES, "directories completed", *WRONG)
    print("\n| | |\n|---|---:|")
    for what in dict.fromkeys([*first, "records doubled", *sorted(counts)]):
        print(f"| {what} | {counts[what]} |")
    sys.exit(any(counts[what] for what in WRONG))


if __name__ == "__main__":
    main()
