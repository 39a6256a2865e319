"""What a compiler makes of the Triton kernel for a GPU that is not there.

Registers and bytes on the stack (spills) of a thread, and instructions of its innermost loop per
pair of sample and hidden unit, of the machine code that the ptxas of Triton's wheel makes.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dynsweep.engines import triton_kernel
from dynsweep.engines.triton import Geometry, geometry

INPUTS = 2


def compiled(shape: Geometry, classes: int, precision: str, architecture: int) -> bytes:
    """The machine code of the kernel."""
    import triton
    from triton.backends.compiler import GPUTarget

    kernel: Any = triton_kernel.train
    constants = {**shape.constants(), "INPUTS": INPUTS, "CLASSES": classes, "BIAS": True}
    number = "*fp32" if precision == "float32" else "*fp64"
    kinds = {
        name: "constexpr" if name in constants else number if name.endswith("_ptr") else "i32"
        for name in kernel.arg_names
    } | {"labels_ptr": "*i32"}
    source = triton.compiler.ASTSource(
        fn=kernel,
        signature=kinds,
        constexprs={(kernel.arg_names.index(name),): one for name, one in constants.items()},
    )
    options = {"num_warps": shape.unit_warps, "num_stages": 1, "enable_fp_fusion": False}
    target = GPUTarget("cuda", architecture, 32)
    return bytes(triton.compile(source, target=target, options=options).asm["cubin"])


def tool(name: str) -> Path | None:
    """A program of NVIDIA's in Triton's wheel."""
    import triton

    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return path if path.exists() else None


def resources(code: bytes) -> dict[str, int]:
    """``registers`` and ``stack`` (bytes, spills) of a thread, and ``loop``: instructions of the
    largest loop within the loop of steps."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "train.cubin"
        binary.write_bytes(code)

        def report(*options: str) -> str:
            command = [str(tool("cuobjdump")), *options, str(binary)]
            return subprocess.run(command, capture_output=True, text=True).stdout

        used = dict(re.findall(r"(REG|STACK):(\d+)", report("-res-usage")))
        lines = re.findall(r"/\*([0-9a-f]{4,})\*/\s+(.*?);", report("-sass"))
    at = [int(address, 16) for address, _ in lines]
    loops = []
    for place, (_, text) in enumerate(lines):
        if (jump := re.search(r"BRA.*?0x([0-9a-f]+)", text)) and int(jump[1], 16) < at[place]:
            loops.append((at.index(int(jump[1], 16)), place))
    inner = [
        (a, b)
        for a, b in loops
        if not any((c, d) != (a, b) and a <= c and d <= b for c, d in loops)
    ]
    longest = max((b - a + 1 for a, b in inner), default=0)
    return {"registers": int(used["REG"]), "stack": int(used["STACK"]), "loop": longest}


def table(
    architectures: Sequence[int], widths: Sequence[int], classes: Sequence[int]
) -> Iterator[str]:
    """Markdown, a row for each combination, in float32."""
    if tool("cuobjdump") is None:
        yield "This build of Triton has no cuobjdump."
        return
    yield "| | H | classes | units x lanes x warps | registers | stack | loop | per pair |"
    yield "|---|---|---|---|---|---|---|---|"
    for width in widths:
        for count in classes:
            shape = geometry(width, INPUTS, count, "float32")
            if shape is None:
                continue
            for architecture in architectures:
                found = resources(compiled(shape, count, "float32", architecture))
                # A thread's pairs in a turn of the loop: its units with the samples it takes.
                pairs = shape.units * getattr(shape, "together", 1)
                yield (
                    f"| sm_{architecture} | {width} | {count} | {shape.units} x {shape.lanes} x "
                    f"{shape.unit_warps} | {found['registers']} | {found['stack']} | "
                    f"{found['loop']} | {found['loop'] / pairs:.1f} |"
                )
