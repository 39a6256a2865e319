"""Runs with the same outcome: one of them is trained, and recorded for all."""

from collections.abc import Sequence

from dynsweep.config import Run, RunConfig, replaced
from dynsweep.config.run import settings_of


def twins(runs: Sequence[Run], positions: Sequence[int]) -> dict[int, list[int]]:
    """Positions by the position of the run that stands for them, itself the first.

    The static loss is the same whatever its period: a grid trains it once for each seed.
    """
    leaders: dict[str, int] = {}
    groups: dict[int, list[int]] = {}
    for position in positions:
        leader = leaders.setdefault(_outcome(runs[position].settings), position)
        groups.setdefault(leader, []).append(position)
    return groups


def _outcome(settings: RunConfig) -> str:
    """Equal for runs whose settings differ in nothing that has an effect."""
    if settings.loss.amplitude != 1:
        return settings.identity()
    declarations = settings_of(settings.dataset.name, settings.model.name)
    neutral = {name: one.default for name, one in declarations.items() if one.dynamical}
    return replaced(settings, neutral).identity()
