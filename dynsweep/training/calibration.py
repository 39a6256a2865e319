"""How long training takes: a few steps of a batch, and each of its measurements, timed."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from dynsweep.config import RunConfig
from dynsweep.engines import Engine
from dynsweep.engines.batches import Batch
from dynsweep.engines.devices import available_threads, torch_settings
from dynsweep.engines.work import HESSIAN, PASSES, PRODUCTS
from dynsweep.training.observers import Observer
from dynsweep.training.probe import Probe, measure
from dynsweep.training.schedules import Schedule

PART = 0.02  # of what the training takes, at most, goes into timing its steps
LEAST, MOST = 0.1, 1.0  # seconds of that, but for a first step
LONG = 0.3  # seconds: a measurement that takes longer is not made, but estimated from the steps
SAMPLE = 32  # runs: more of them take as much longer, where an engine trains one by one


def batch_seconds(
    runs: Sequence[RunConfig], engine: Engine, device: str, batches: int = 1
) -> float:
    """Seconds that training ``runs`` in one batch takes, of so many; nothing of it is kept."""
    count = max(SAMPLE, 2 * available_threads()) if engine.one_by_one else len(runs)
    batch = Batch(tuple(runs[:count]))
    rounds = len(runs) / len(batch)
    with torch_settings(batch.first, device):
        engine.begin(batch, device)  # compiles, or loads what was compiled
        start, session = _timed(engine.begin, batch, device)
        probe = Probe(batch, device)
        schedule = Schedule(batch, device, probe)
        observer = Observer(batch, schedule, probe)
        steps, chunk, spent, each = batch.steps, 1, 0.0, math.inf if batch.steps else 0.0
        if steps:
            schedule.advance(session, 1)  # the same, and warms caches
        while session.step < steps:
            # Chunks end where something is measured.
            chunk = max(1, min(chunk, steps - session.step, steps // len(observer.stops)))
            seconds, _ = _timed(schedule.advance, session, chunk)
            each, spent = min(each, seconds / chunk), spent + seconds
            budget = min(MOST, max(LEAST, PART * each * steps * rounds * batches))
            if spent + 4 * seconds > budget:
                break
            chunk *= 4
        each = each if each < math.inf else 0.0  # of one step
        training = each * steps
        loading, _ = _timed(probe.load, session)
        for quantity, due in observer.due.items():
            about = each * _in_steps(quantity, batch)
            training += len(due) * _seconds(about, observer.measure, quantity, session)
        if observer.due.keys() - {"metrics", "snapshot"}:
            training += loading * len(observer.stops)
        end = _seconds(each * _in_steps("metrics", batch), measure, session, probe)
    return (start + training + end) * rounds


def _in_steps(quantity: str, batch: Batch) -> float:
    """About how many steps a measurement takes the time of."""
    data, observe = batch.dataset, batch.first.observe
    train = len(data.train_labels)
    size = batch.first.optimizer.batch_size or train
    match quantity:
        case "metrics":
            return (train + len(data.validation_labels)) / size / PASSES
        case "sharpness":
            samples = min(observe.sharpness.samples or train, train)
            return (observe.sharpness.order or PRODUCTS) * HESSIAN * samples / size
        case "ntk":
            return observe.ntk.samples * data.classes / size
        case "snapshot":
            return 0.0
    return train / size / PASSES


def _seconds(about: float, work: Callable[..., Any], *arguments: Any) -> float:
    """Seconds that a measurement takes; ``about``, where that is long."""
    if about > LONG:
        return about
    seconds, _ = _timed(work, *arguments)
    if seconds < LONG:  # the first one is slower
        seconds, _ = _timed(work, *arguments)
    return seconds


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    tick = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - tick, result
