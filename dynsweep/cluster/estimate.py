"""When a sweep should end: from the times that its records tell, and from what is at work now."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from dynsweep.config import Run
from dynsweep.store.records import FINISHED
from dynsweep.sweep.claims import Claim

Kind = tuple[Any, ...]  # of runs that take about as long


def seconds_left(
    runs: Mapping[str, Run],
    missing: Iterable[str],
    records: Mapping[str, Mapping[str, Any]],
    claims: Iterable[Claim],
) -> float | None:
    """How long the processes at work (or one, if there is none) will take; ``None`` where no run
    has taken any time yet.

    Args:
        runs: of the grid, by identity.
        missing: identities of those without a finished record.
        records: that count, by identity.
        claims: of the processes at work.
    """
    now, left, elapsed, done = time.time(), set(missing), 0.0, 0.0
    took: defaultdict[Kind | None, list[float]] = defaultdict(list)
    for identity, record in records.items():
        if record["status"] in FINISHED and record["seconds"] > 0:
            for kind in (None, *([_kind(runs[identity])] if identity in runs else [])):
                took[kind].append(record["seconds"])
    each = {kind: sum(values) / len(values) for kind, values in took.items()}
    busy: list[float] = []
    for claim in claims:
        spent = max(0.0, now - claim.since) if claim.since else 0.0
        if claim.done > 0:  # its own pace says more than records of others
            busy.append(spent * max(0.0, len(claim.runs) - claim.done) / claim.done)
            elapsed, done = elapsed + spent, done + claim.done
        elif None in each:
            busy.append(max(0.0, sum(_expected(runs, run, each) for run in claim.runs) - spent))
        left -= claim.runs
    if None not in each:
        if not done:
            return None
        each[None] = elapsed / done
    rest = sum(_expected(runs, run, each) for run in left)
    return max([(sum(busy) + rest) / max(1, len(busy)), *busy])


def _kind(run: Run) -> Kind:
    settings = run.settings
    return settings.dataset.name, *vars(settings.model).values(), settings.steps, settings.epochs


def _expected(runs: Mapping[str, Run], identity: str, each: Mapping[Kind | None, float]) -> float:
    run = runs.get(identity)
    return each.get(_kind(run), each[None]) if run else each[None]
