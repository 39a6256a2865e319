"""What a command would train, with what, and how long that takes."""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from dynsweep.config import RunConfig
from dynsweep.config.labels import duration
from dynsweep.engines import ENGINES, group
from dynsweep.engines.batches import total_steps
from dynsweep.engines.work import operations
from dynsweep.sweep.outcomes import Outcomes, twins
from dynsweep.sweep.teams import Team, optimisation
from dynsweep.training.calibration import batch_seconds

log = logging.getLogger(__name__)

MOST_TIMED = 8  # groups of runs; what others take follows from their work
MOST_LISTED = 20


@dataclass
class Part:
    """Runs that share batches."""

    runs: list[RunConfig]
    team: Team
    seconds: float = math.nan

    @classmethod
    def of(cls, runs: list[RunConfig]) -> "Part":
        return cls(runs, Team([], runs[0]))

    @property
    def batches(self) -> int:
        return math.ceil(len(self.runs) / self.team.size)

    def time(self) -> None:
        """Measure how long they take."""
        full, rest = divmod(len(self.runs), self.team.size)
        size = self.team.size if full else rest
        engine, device = self.team.engine, self.team.device
        with suppress(Exception):  # one that raises will do so again, and is recorded then
            each = batch_seconds(self.runs[:size], engine, device, self.batches)
            self.seconds = each * (full + rest / size if full else 1)

    def text(self) -> str:
        run, team = self.team.first, self.team
        count, batches = len(self.runs), self.batches
        memory = team.engine.memory(run) * min(team.size, count)
        held = f"about {memory / 1e6:,.0f} MB" if memory > 1e6 else "little memory"
        batch = f"{batches:,} batches of up to {team.size:,}" if batches > 1 else "1 batch"
        return (
            f"{_count(count, 'run')} in {batch}: {run.model.name}, width {run.model.width}, "
            f"{total_steps(run):,} steps, {optimisation(run)}; {team.engine.name} engine on "
            f"{team.device} ({_reason(run, team)}), {held}; {about(self.seconds)}"
        )


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _reason(run: RunConfig, team: Team) -> str:
    """Why that engine: what stands in the way of faster ones."""
    if run.engine.name != "auto":
        return "as asked for"
    faster = ENGINES[: ENGINES.index(team.engine)]
    reasons = [(one.name, one.obstacle(run, team.device)) for one in faster]
    # Of those for another device nothing need be said, if it is not asked for.
    told = [f"the {name} one {why}" for name, why in reasons if why and "device" not in why]
    return told[0] if told else "the fastest"


def parts(outcomes: Outcomes) -> list[Part]:
    """The runs that a command would train, by batches; equal ones once."""
    leaders, _ = twins(outcomes.runs, outcomes.missing())
    settings = [outcomes.runs[leader].settings for leader in leaders]
    return [Part.of([settings[place] for place in places]) for places in group(settings)]


def about(seconds: float) -> str:
    """How long that is, for people."""
    if math.isnan(seconds):
        return "unknown time"
    return f"about {duration(seconds)}" if seconds >= 1 else "less than a second"


def estimate(parts: Sequence[Part]) -> float:
    """Seconds that training takes on this machine: some parts are timed, others compared."""
    if not parts:
        return 0.0
    # Counting imports much of PyTorch: where all are alike, there is nothing to put in order.
    by_work = sorted(parts, key=_operations) if len(parts) > 1 else [*parts]
    count = min(MOST_TIMED, len(by_work))
    places = {round(k * (len(by_work) - 1) / max(1, count - 1)) for k in range(count)}
    timed = [by_work[place] for place in sorted(places)]
    for part in timed:
        part.time()
    timed = [part for part in timed if not math.isnan(part.seconds)]
    for part in by_work if timed else ():
        if math.isnan(part.seconds):
            like = min(timed, key=lambda one: _unlikeness(one, part))
            part.seconds = like.seconds * _work(part) / _work(like)
    known = [part.seconds for part in parts if not math.isnan(part.seconds)]
    return sum(known) if known else math.nan


def say_estimate(planned: Sequence[Part], workers: int = 1) -> None:
    """At the start of a sweep, how long it takes."""
    if planned:
        seconds = shared(estimate(planned), planned, workers)
        log.info("Training takes %s", about(seconds))


def shared(seconds: float, parts: Sequence[Part], workers: int) -> float:
    """Seconds where workers share the runs. Those on the CPU share its threads too."""
    return seconds / workers if any(part.team.device != "cpu" for part in parts) else seconds


def _operations(part: Part) -> float:
    return operations(part.runs[0])


def _work(part: Part) -> float:
    return _operations(part) * len(part.runs)


def _unlikeness(one: Part, other: Part) -> tuple[bool, float]:
    ratio = operations(one.runs[0]) / operations(other.runs[0])
    return one.team.engine is not other.team.engine, abs(math.log(ratio))


def text(outcomes: Outcomes, workers: int, how: str = "") -> str:
    """A plan for people, over several lines.

    So many ``workers`` of this machine train, each with a GPU of its own if there are any; where
    there are none others do, and ``how`` says so: nothing is timed then.
    """
    distinct = len(set(outcomes.identities))
    todo = outcomes.missing()
    refused = {outcomes.identities[place]: str(why) for place, why in outcomes.unfit.items()}
    jobs = _count(len(outcomes.runs), "job")
    lines = [f"{jobs}, {_count(distinct, 'run')}, for {outcomes.directory}:"]
    if held := distinct - len(todo) - len(refused):
        lines.append(f"  {held:,} recorded already")
    for reason, count in Counter(refused.values()).items():
        lines.append(f"  {count:,} that cannot be trained ({reason})")
    lines.append(f"  {len(todo):,} to train")
    if workers:
        planned = parts(outcomes)
        seconds = estimate(planned)
        if (leaders := sum(len(part.runs) for part in planned)) < len(todo):
            lines[-1] += f"; {leaders:,} of them differ in what has an effect (A = 1 is static)"
        lines += [f"    {part.text()}" for part in planned[:MOST_LISTED]]
        if len(planned) > MOST_LISTED:
            lines.append(f"    ... and {len(planned) - MOST_LISTED} more groups of runs")
        if planned:
            lines.append(f"Training takes {about(shared(seconds, planned, workers))} here.")
    elif todo:
        lines.append(f"  {how}; engines, batches and time are those of their machines.")
    return "\n".join([*lines, "Nothing was trained (dry_run=true)."])
