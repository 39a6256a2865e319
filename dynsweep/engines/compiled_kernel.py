"""The compiled functions of the compiled engine: train one run, and look at one run.

See :mod:`dynsweep.engines.compiled_passes` for what a step does. Functions are compiled once
per :class:`~dynsweep.engines.compiled_shape.Shape` and precision; any width and number of samples
shares them. numba keeps the machine code in ``NUMBA_CACHE_DIR``, or in the user's cache folder;
not beside this file, where it would outlive an uninstallation and hide an editable one after it.
"""

import math
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
from platformdirs import user_cache_dir

from dynsweep.engines import (
    compiled_loss,
    compiled_passes,
    compiled_shape,
    compiled_update,
    compiled_vectors,
    minibatches,
)
from dynsweep.engines.compiled_passes import backward, forward, gradient
from dynsweep.engines.compiled_shape import NESTEROV, PLAIN, Shape
from dynsweep.engines.compiled_vectors import UNITS
from dynsweep.engines.minibatches import ROUNDS


def checksum(*modules: ModuleType) -> int:
    """Of the source of modules. numba sees when the file of a compiled function changes; of those
    with the passes it is told through a constant."""
    return zlib.crc32(b"".join(Path(str(one.__file__)).read_bytes() for one in modules))


SOURCES = checksum(
    compiled_loss, compiled_passes, compiled_shape, compiled_update, compiled_vectors, minibatches
)


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile without the interpreter's lock: one thread to a run; keep the result if we can."""
    config: Any = numba.config
    chosen = config.CACHE_DIR
    config.CACHE_DIR = chosen or user_cache_dir("dynsweep")  # read by the decorator
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder is writable
        return numba.njit(nogil=True)(function)
    finally:
        config.CACHE_DIR = chosen


_key, _scrambled = numba.njit(minibatches.key), numba.njit(minibatches.scrambled)


@numba.njit
def _draw(order, seed, epoch, samples):  # type: ignore[no-untyped-def]
    """Into the first ``samples`` of the 2^b numbers of ``order`` that of an epoch."""
    mask, shift = np.uint32(len(order) - 1), np.uint32(0)
    while (1 << (2 * shift)) < len(order):
        shift += np.uint32(1)
    for place in range(len(order)):
        order[place] = place
    for number in range(ROUNDS):  # a loop of its own each: of vectors
        factor = np.uint32(_key(seed, epoch, np.uint64(2 * number)))
        summand = np.uint32(_key(seed, epoch, np.uint64(2 * number + 1)))
        for place in range(len(order)):
            order[place] = _scrambled(order[place], factor, summand, shift, mask)
    kept = 0
    for place in range(len(order)):
        value = order[place]
        order[kept] = value
        kept += value < samples


@numba.njit
def descend_bias(b2, slopes, heads, rate, speeds, momentum, decay, moves, nesterov):  # type: ignore[no-untyped-def]
    """The step of the output biases, from the slopes of the heads."""
    total = slopes[0] * 0
    for c in range(heads):
        total += slopes[c]
    for c in range(len(b2)):
        slope = slopes[c] if c < heads else -total
        if moves:
            slope += decay * b2[c]
            speeds[c] = momentum * speeds[c] + slope
            slope = slope + momentum * speeds[c] if nesterov else speeds[c]
        b2[c] -= rate * slope


@lru_cache(maxsize=64)
def kernels(shape: Shape, sources: int = SOURCES) -> tuple[Any, Any]:
    """``(train, measure)`` for models of that shape."""
    code, size = shape.code, shape.rows * UNITS
    inputs, classes, heads, bias = shape.inputs, shape.classes, shape.heads, shape.bias
    squared, moves, nesterov = shape.squared, shape.descent != PLAIN, shape.descent == NESTEROV

    def train(run, weights, b2, descent, tables, data, batches, scratch):  # type: ignore[no-untyped-def]
        """Take the steps of a table with run number ``run``.

        Args:
            weights: shape ``(runs, blocks * rows * units)``, see ``compiled_shape.Shape``.
            b2: shape ``(runs, classes)``; 0 without biases.
            descent: velocities of the weights ``(runs, blocks * trained * units)`` and of b2,
                momentum and weight decay ``(runs,)``.
            tables: class weights ``(runs, steps, classes)``, learning rates ``(runs, steps)``.
            data: inputs ``(inputs * samples,)``, labels and shares 1 / P ``(samples,)``, and the
                number one.
            batches: the number of samples in a minibatch, 0 for all; the first step; the seeds;
                how many samples there are without padding.
            scratch: ``z``, ``q``, ``active`` and ``totals`` of the passes; and of minibatches
                inputs, labels and shares, and the order of the samples.
        """
        all_x, all_labels, all_shares, one = data
        velocity, velocity2, momenta, decays = descent
        class_weights, rates = tables
        count, first, seeds, length = batches
        z, q, active, totals, some_x, some_labels, some_shares, order = scratch
        mine, bias2 = weights[run], b2[run]
        speeds, speeds2, momentum, decay = velocity[run], velocity2[run], momenta[run], decays[run]
        x, labels, shares = all_x, all_labels, all_shares
        if count:
            x, labels, shares = some_x, some_labels, some_shares
        samples, whole = len(labels), len(all_labels)
        blocks = len(mine) // size
        per_epoch = length // count if count else 1
        z[:] = 0
        for step in range(rates.shape[1]):
            rate = rates[run, step]
            if count:
                epoch, place = divmod(first + step, per_epoch)
                if step == 0 or place == 0:
                    _draw(order, np.uint64(seeds[run]), np.uint64(epoch), length)
                chosen = order[place * count : (place + 1) * count]
                for j in range(count):
                    labels[j] = all_labels[chosen[j]]
                for i in range(inputs):
                    near, far = x[i * samples : (i + 1) * samples], all_x[i * whole :]
                    for j in range(count):
                        near[j] = far[chosen[j]]
            for block in range(blocks):
                forward(code, (mine, block, samples, x, z, active))
            shown = (samples, x, z, q, labels, shares, bias2)
            gradient(code, (*shown, class_weights[run, step], totals))
            if bias:
                own = (speeds2, momentum, decay, moves, nesterov)
                descend_bias(bias2, totals, heads, rate, *own)
            for block in range(blocks):
                if moves:
                    rest = (speeds, momentum, decay)
                    backward(code, (mine, block, samples, q, active, totals, rate, one, *rest))
                else:
                    backward(code, (mine, block, samples, q, active, totals, rate, one))
        return sources

    def measure(run, count, weights, b2, data, scratch):  # type: ignore[no-untyped-def]
        """The static loss and the accuracy of a run on the first ``count`` samples."""
        x, labels, _shares, _one = data
        z, active = scratch[0], scratch[2]
        mine, bias2 = weights[run], b2[run]
        samples = len(labels)
        z[:] = 0
        for block in range(len(mine) // size):
            forward(code, (mine, block, samples, x, z, active))
        loss, right = 0.0, 0
        logits = np.zeros(classes)
        for j in range(count):
            finite, best = True, 0
            for c in range(heads):
                base = 0.0 if squared else bias2[classes - 1]
                logits[c] = z[c * samples + j] + (bias2[c] - base)
            for c in range(classes):
                finite &= math.isfinite(logits[c])
                if logits[c] > logits[best]:
                    best = c
            total = 0.0
            for c in range(classes):
                if squared:
                    total += (logits[c] - (labels[j] == c)) ** 2 / classes
                else:
                    total += math.exp(logits[c] - logits[best])
            loss += total if squared else math.log(total) - (logits[labels[j]] - logits[best])
            right += finite and best == labels[j]
        return loss / count, right / count, sources

    return _compiled(train), _compiled(measure)
