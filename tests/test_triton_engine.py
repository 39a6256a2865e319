"""The Triton engine in its interpreter, and its kernel through the CUDA compiler.

What it shares with the others is in ``test_engines``. Without a GPU the kernel runs in Triton's
interpreter; Triton decides that as it is imported, so that those tests run in a process of their
own.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dynsweep.config import RunConfig
from dynsweep.engines.triton import TritonEngine, geometry, interpreted

Make = Callable[..., RunConfig]
ENGINE = TritonEngine()
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")


@needs_triton
@pytest.mark.skipif(interpreted(), reason="already in the interpreter")
@pytest.mark.slow
def test_the_contract_in_the_interpreter() -> None:
    contract = Path(__file__).with_name("test_engines.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", contract]
    child = subprocess.run(
        [*command, "-k", "triton"],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stdout + child.stderr
    assert "skipped" not in child.stdout


def resources(run: RunConfig, folder: Path) -> dict[str, int]:
    """Registers and stack bytes (spills) of a thread of ``train``, compiled for an H100."""
    triton: Any = pytest.importorskip("triton")
    compiler: Any = pytest.importorskip("triton.backends.compiler")
    from dynsweep.engines import triton_kernel

    kernel: Any = triton_kernel.train
    shape = geometry(run.model.width, 2, 3, run.precision)
    assert shape is not None
    constants = {**shape.constants(), "INPUTS": 2, "CLASSES": 3, "BIAS": True}
    number = "*fp32" if run.precision == "float32" else "*fp64"
    kinds = {
        name: "constexpr" if name in constants else number if name.endswith("_ptr") else "i32"
        for name in kernel.arg_names
    } | {"labels_ptr": "*i32"}
    compiled = triton.compile(
        triton.compiler.ASTSource(
            fn=kernel,
            signature=kinds,
            constexprs={(kernel.arg_names.index(name),): v for name, v in constants.items()},
        ),
        target=compiler.GPUTarget("cuda", 90, 32),
        options={"num_warps": shape.unit_warps, "num_stages": 1, "enable_fp_fusion": False},
    )
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not tool.exists():
        pytest.skip("this build of Triton has no cuobjdump")
    binary = folder / "train.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    report = subprocess.run([tool, "-res-usage", binary], capture_output=True, text=True)
    return {k: int(v) for k, v in re.findall(r"(REG|STACK):(\d+)", report.stdout)}


@needs_triton
@pytest.mark.skipif(interpreted(), reason="the interpreter compiles nothing")
@pytest.mark.parametrize(
    ("width", "precision"),
    [
        (40, "float32"),
        pytest.param(100, "float32", marks=pytest.mark.slow),
        pytest.param(1000, "float32", marks=pytest.mark.slow),
        pytest.param(100, "float64", marks=pytest.mark.slow),
    ],
)
def test_compiled_for_cuda_nothing_spills(
    make_run: Make, tmp_path: Path, width: int, precision: str
) -> None:
    used = resources(make_run(width=width, precision=precision), tmp_path)
    assert used["STACK"] == 0
    assert used["REG"] <= 255


def test_obstacles_are_named(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("CC", "cc")
    assert ENGINE.obstacle(make_run(), "cpu") == "needs device=cuda"
    if HAS_TRITON:
        assert ENGINE.obstacle(make_run(), "cuda") is None
        assert ENGINE.obstacle(make_run(width=4096), "cuda:1") is None
        assert "at most 4096 hidden units" in str(ENGINE.obstacle(make_run(width=4097), "cuda"))
        assert "at most 1792" in str(
            ENGINE.obstacle(make_run(width=2000, precision="float64"), "cuda")
        )
        assert "at most 0" in str(ENGINE.obstacle(make_run(classes=60), "cuda"))
        with monkeypatch.context() as bare:
            bare.setenv("PATH", "")
            bare.delenv("CC", raising=False)
            assert "needs a C compiler" in str(ENGINE.obstacle(make_run(), "cuda"))
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.2.0")
        assert "needs triton 3.3 or newer" in str(ENGINE.obstacle(make_run(), "cuda"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "package triton" in str(ENGINE.obstacle(make_run(), "cuda"))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_threads_hold_every_unit(precision: str, classes: int) -> None:
    for width in range(1, 1700):
        shape = geometry(width, 2, classes, precision)
        if shape is None:
            assert geometry(width + 1, 2, classes, precision) is None
            continue
        assert shape.lanes * shape.samples == 32
        assert width <= shape.width < width + shape.unit_warps * shape.lanes
        assert shape.unit_warps <= 8
