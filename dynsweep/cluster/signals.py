"""How workers are told to stop, and tell that they did."""

from __future__ import annotations

import signal

STOP_SIGNAL = signal.SIGUSR2  # submitit's word for "you are preempted, or out of time"
REQUEUE = 75  # exit status of a local worker that was asked to stop (EX_TEMPFAIL)
