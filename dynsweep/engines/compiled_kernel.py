"""The compiled functions of the compiled engine: train one run, and look at one run.

See :mod:`dynsweep.engines.compiled_passes` for what a step does. Functions are compiled once
per number of inputs and classes, biases or none, and precision; any width and number of samples
shares them. numba keeps the machine code in ``NUMBA_CACHE_DIR``, or in the user's cache folder;
not beside this file, where it would outlive an uninstallation and hide an editable one after it.
"""

import math
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from platformdirs import user_cache_dir

from dynsweep.engines import compiled_passes, compiled_vectors
from dynsweep.engines.compiled_passes import backward, forward, softmax

# numba sees when this file changes; of the files with the passes it is told through a constant.
SOURCES = zlib.crc32(
    b"".join(Path(str(one.__file__)).read_bytes() for one in (compiled_passes, compiled_vectors))
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


@lru_cache(maxsize=64)
def kernels(inputs: int, classes: int, bias: int, sources: int = SOURCES) -> tuple[Any, Any]:
    """``(train, measure)`` for models of that shape; ``bias`` is 0 or 1."""
    size = (inputs + bias + 2 * classes - 1) * 4  # numbers of a block

    def train(run, weights, b2, class_weights, rates, data, scratch):  # type: ignore[no-untyped-def]
        """Take the steps of a table with run number ``run``.

        Args:
            weights: shape ``(runs, blocks * rows * units)``, see ``compiled_passes.Shape``.
            b2: shape ``(runs, classes)``; 0 without biases.
            class_weights: shape ``(runs, steps, classes)``.
            rates: learning rates, shape ``(runs, steps)``.
            data: inputs ``(inputs * samples,)``, labels and shares 1 / P ``(samples,)``, and the
                number one.
            scratch: ``z``, ``q``, ``active`` and ``totals`` of the passes.
        """
        x, labels, shares, one = data
        z, q, active, totals = scratch
        mine, bias2 = weights[run], b2[run]
        samples = len(labels)
        blocks = len(mine) // size
        z[:] = 0
        for step in range(rates.shape[1]):
            rate = rates[run, step]
            for block in range(blocks):
                forward(inputs, classes, bias, (mine, block, samples, x, z, active))
            shown = (samples, x, z, q, labels, shares, bias2)
            softmax(inputs, classes, bias, (*shown, class_weights[run, step], totals))
            if bias:
                total = totals[0] * 0
                for c in range(classes - 1):
                    bias2[c] -= rate * totals[c]
                    total += totals[c]
                bias2[classes - 1] += rate * total
            for block in range(blocks):
                rest = (mine, block, samples, q, active, rate, one)
                backward(inputs, classes, bias, rest)
        return sources

    def measure(run, count, weights, b2, data, scratch):  # type: ignore[no-untyped-def]
        """Static cross-entropy and accuracy of a run on the first ``count`` samples."""
        x, labels, _shares, _one = data
        z, _q, active, _totals = scratch
        mine, bias2 = weights[run], b2[run]
        samples = len(labels)
        z[:] = 0
        for block in range(len(mine) // size):
            forward(inputs, classes, bias, (mine, block, samples, x, z, active))
        loss, right = 0.0, 0
        logits = np.zeros(classes)
        for j in range(count):
            finite, best = True, 0
            for c in range(classes - 1):
                logits[c] = z[c * samples + j] + (bias2[c] - bias2[classes - 1])
            for c in range(classes):
                finite &= math.isfinite(logits[c])
                if logits[c] > logits[best]:
                    best = c
            total = 0.0
            for c in range(classes):
                total += math.exp(logits[c] - logits[best])
            loss += math.log(total) - (logits[labels[j]] - logits[best])
            right += finite and best == labels[j]
        return loss / count, right / count, sources

    return _compiled(train), _compiled(measure)
