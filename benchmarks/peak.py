"""The machine's multiply-add peak: independent fused multiply-adds in vector registers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dynsweep.engines.compiled_vectors import Vectors

CHAINS = 12  # enough to hide the latency of one


@intrinsic
def _burst(context: Any, arguments: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vec = Vectors(context, builder, arguments)
        data, count = vec.plain(arguments, args[0])
        factor = vec.element(data, ir_index(0))
        start = [vec.element(data, ir_index(k)) for k in range(CHAINS)]
        ends = vec.over_samples(
            count, start, lambda offset, chains: [vec.fma(one, factor, factor) for one in chains]
        )
        for k, end in enumerate(ends):
            total = vec.builder.extract_element(end, ir_lane(k % vec.lanes))
            vec.builder.store(total, vec.builder.gep(data, [ir_index(k)]))
        return context.get_dummy_value()

    return types.void(arguments), generate


def ir_index(value: int) -> Any:
    from llvmlite import ir

    return ir.Constant(ir.IntType(64), value)


def ir_lane(value: int) -> Any:
    from llvmlite import ir

    return ir.Constant(ir.IntType(32), value)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _run(data: NDArray[Any], count: int) -> None:
    _burst((data, count))


def multiply_adds(threads: int, precision: str = "float32", repeats: int = 20) -> float:
    """Multiply-adds per second of ``threads`` threads together, the best of ``repeats``."""
    data = [np.full(16, 0.5, precision) for _ in range(threads)]
    count = 16_000_000
    best = np.inf
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_run, data, [16] * threads))
        for _ in range(repeats):
            start = time.perf_counter()
            list(pool.map(_run, data, [count] * threads))
            best = min(best, time.perf_counter() - start)
    return threads * CHAINS * count / best
