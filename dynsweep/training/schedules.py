"""Learning-rate schedules: the factor of the learning rate at each step of the training."""

from __future__ import annotations

import math

from dynsweep.config import ScheduleConfig


def factor(schedule: ScheduleConfig, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at ``step``, from 0 to ``steps - 1``.

    With ``x = step / steps`` and ``w`` the warm-up, the factor rises as ``x / w`` up to 1 at
    ``w``. Then it is

    - constant: 1;
    - linear: falls from 1 to ``final`` at the end;
    - cosine: falls from 1 to ``final`` along half a cosine;
    - piecewise: ``schedule.factor`` to the power of the milestones passed.
    """
    x = step / steps
    if x < schedule.warmup:
        return x / schedule.warmup
    if schedule.name == "piecewise":
        return float(schedule.factor ** sum(x >= mark for mark in schedule.milestones))
    left = (1 - x) / (1 - schedule.warmup)  # from 1 to 0
    if schedule.name == "linear":
        return schedule.final + (1 - schedule.final) * left
    if schedule.name == "cosine":
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * (1 - left))) / 2
    return 1.0
