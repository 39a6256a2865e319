"""Prints how many vector registers one step of the compiled engine spills, and its arithmetic.

    python tests/machine_code.py x86_64|aarch64 CPU FEATURES [dense|half_planes [PRECISION]]

for a processor that need not be this one: numba's LLVM module, emitted by llvmlite.
"""

from __future__ import annotations

import platform
import re
import sys

import llvmlite.binding as llvm
import numba
from by_hand import advance
from runs import make_run

from dynsweep.engines import compiled_kernel
from dynsweep.engines.batches import Batch
from dynsweep.engines.compiled import CompiledSession
from dynsweep.engines.half_planes import HalfPlaneSession

SPILLS = {"x86_64": r"%[xyz]mm\d+.*\(%r[sb]p|\(%r[sb]p.*%[xyz]mm", "aarch64": r"\s[qdv]\d+.*\[sp"}
ARITHMETIC = {
    "x86_64": r"\tv(add|sub|mul|div|fn?m(add|sub)\d*)[ps][sd]\s",
    "aarch64": r"\tf(add|sub|mul|mla|mls|div|madd)\s",
}

SESSIONS = {"dense": CompiledSession, "half_planes": HalfPlaneSession}


def main() -> None:
    machine, cpu, features, *others = sys.argv[1:]
    kind, precision = [*others, *["dense", "float32"][len(others) :]]
    config = numba.config
    if platform.machine() == "x86_64":
        config.CPU_NAME = cpu if machine == "x86_64" else "x86-64"  # type: ignore[attr-defined]
    config.CPU_FEATURES = features  # type: ignore[attr-defined]
    platform.machine = lambda: machine
    compiled_kernel._compiled = numba.njit(nogil=True)
    run = make_run(steps=1, precision=precision)
    session = SESSIONS[kind](Batch((run,)), "cpu")
    advance(session, 1, run)
    train = session._trains[0]  # type: ignore[attr-defined]
    module = train.inspect_llvm(train.signatures[0])
    module = re.sub(r"^target (datalayout|triple).*$", "", module, flags=re.M)
    module = re.sub(r'"target-(cpu|features)"="[^"]*"', "", module).replace("llvm.x86.", "x86_")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(f"{machine}-unknown-linux-gnu")
    emitter = target.create_target_machine(cpu=cpu, features=features, opt=3)
    # The first function is the compiled one; others are called from Python.
    code = emitter.emit_assembly(llvm.parse_assembly(module)).partition(".cfi_endproc")[0]
    for patterns in (SPILLS, ARITHMETIC):
        print(sum(bool(re.search(patterns[machine], line)) for line in code.splitlines()))


if __name__ == "__main__":
    main()
