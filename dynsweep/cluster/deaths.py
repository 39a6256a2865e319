"""Tasks that died: what they leave undone, and the line of their log that says why.

What many tasks share is said once for all of them.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dynsweep.cluster.shards import Shard, Submission
from dynsweep.store import Damaged
from dynsweep.sweep.outcomes import Outcomes

log = logging.getLogger(__name__)

TAIL = 2**16  # bytes of a log that are looked at
LONGEST = 300  # letters of a line that are quoted
# Ends that say themselves why.
CLEAR = ("was cancelled", "ran out of", "lost its node", "was preempted", "was killed")
# What says why, the surest first: Slurm, what Python raised, and what looks like an error.
LIMIT = re.compile(r"DUE TO TIME LIMIT")
RAISED = re.compile(r"(\w+\.)*\w*(Error|Exception|Exit|Interrupt)(: .*)?$")
ERROR = re.compile(r"error|not found|no such|denied|cannot|killed", re.IGNORECASE)
SHELL = re.compile(r"\S*slurm_script: (line \d+: .*)")
# Lines of loggers, and how srun sums up what it saw.
NOISE = re.compile(r"\[|submitit \w+ \(|srun: .*(Exited with exit code|Terminat)|Traceback| ")


@dataclass(frozen=True)
class Death:
    """Of a task; ``how`` says its end, and why if that is known."""

    task: Submission
    how: str
    missing: int
    runs: int
    first: int  # number of its first run, and of its last
    last: int

    @property
    def kind(self) -> str:
        """The same for tasks that died alike."""
        return re.sub(r"\d+", "0", self.how)


def death(task: Submission, how: str, error: str) -> Death:
    """What a death costs; ``error`` is what the worker itself said last."""
    reason = error or ("" if how.startswith(CLEAR) else why(task.log))
    how += f" ({reason})" if reason else ""
    try:
        shard = Shard.read(task.shard)
    except Damaged as damaged:
        return Death(task, f"{how}, and {damaged}", task.runs, task.runs, 0, task.runs - 1)
    results = Outcomes(shard.runs, shard.directory, shard.label).results()
    numbers = [run.number for run in shard.runs]
    return Death(task, how, results.count(None), len(results), min(numbers), max(numbers))


def why(path: Path) -> str:
    """The line of a log that says why a task ended; empty if none does."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    if limits := [line for line in lines if LIMIT.search(line)]:
        return limits[-1][:LONGEST]
    # A command of `setup` that failed is why Python then misses something.
    shell = [found[1] for line in lines if (found := SHELL.match(line))][-1:]
    plain = [line.rstrip() for line in lines if line.strip() and not NOISE.match(line)]
    raised = [line for line in plain if RAISED.match(line)][-1:]
    errors = [line for line in plain if ERROR.search(line)][-1:]
    return "; ".join((shell + raised) or errors or plain[-1:])[:LONGEST]


class Deaths:
    """Names deaths, of a kind once in full."""

    def __init__(self) -> None:
        self._named: dict[str, str] = {}

    def name(self, deaths: Sequence[Death]) -> None:
        """One line for all of a kind."""
        kinds: dict[str, list[Death]] = {}
        for one in deaths:
            kinds.setdefault(one.kind, []).append(one)
        for kind, alike in kinds.items():
            jobs, logs = [one.task.job for one in alike], [str(one.task.log) for one in alike]
            before = self._named.get(kind)
            # Without reason it is as short as a reference.
            how = f"died like {before}" if before and "(" in kind else alike[0].how
            self._named.setdefault(kind, jobs[0])
            many = len(alike) > 1
            log.error(
                "Task%s %s %s: %d of %s %d runs (#%d to #%d) are missing; log%s: %s",
                "s" if many else "", _some(jobs), _plural(how) if many else how,
                sum(one.missing for one in alike), "their" if many else "its",
                sum(one.runs for one in alike), min(one.first for one in alike),
                max(one.last for one in alike), "s" if many else "", _some(logs),
            )  # fmt: skip


def _plural(how: str) -> str:
    words = {"was ": "were ", "is ": "are ", "lost its node": "lost their nodes"}
    for one, many in words.items():
        if how.startswith(one):
            return many + how.removeprefix(one)
    return how


def _some(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and 4 more``."""
    shown, more = list(names[:2]), len(names) - 2
    return ", ".join(shown) + f" and {more} more" if more > 0 else " and ".join(shown)
