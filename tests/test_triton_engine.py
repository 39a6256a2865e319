"""The Triton engine in its interpreter, and its kernel through the CUDA compiler.

What it shares with the others is in ``test_engines``. Without a GPU the kernel runs in Triton's
interpreter; Triton decides that as it is imported, so that those tests run in a process of their
own.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


@needs_triton
@pytest.mark.skipif(interpreted(), reason="the interpreter compiles nothing")
@pytest.mark.parametrize(
    ("architecture", "width", "classes", "precision"),
    [
        (90, 100, 3, "float32"),
        *[
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                (80, 100, 3, "float32"),
                (80, 1000, 3, "float32"),
                (90, 1000, 3, "float32"),
                (90, 100, 3, "float64"),
                *[(sm, 100, classes, "float32") for sm in (75, 120) for classes in (2, 3, 5, 10)],
            ]
        ],
    ],
)
def test_compiled_for_cuda_nothing_spills(
    monkeypatch: pytest.MonkeyPatch, architecture: int, width: int, classes: int, precision: str
) -> None:
    """By the ptxas of Triton's wheel; no GPU is needed."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    static = importlib.import_module("gpu_static")
    if static.tool("ptxas") is None or static.tool("cuobjdump") is None:
        pytest.skip("this build of Triton has no ptxas or no cuobjdump")
    shape = geometry(width, 2, classes, precision)
    assert shape is not None
    used = static.resources(static.compiled(shape, classes, precision, architecture))
    assert used["stack"] == 0
    assert used["registers"] <= 255
    if (architecture, width, classes, precision) == (90, 100, 3, "float32"):
        # Of 4 samples; the compiler of Triton 3.6 makes 234.5.
        version = importlib.metadata.version("triton").split(".")
        most = 232 if tuple(map(int, version[:2])) >= (3, 7) else 235
        assert used["loop"] * 4 / (shape.samples * shape.together) <= most


def test_obstacles_are_named(make_run: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("CC", "cc")
    assert ENGINE.obstacle(make_run(), "cpu") == "needs device=cuda"
    if HAS_TRITON:
        assert ENGINE.obstacle(make_run(), "cuda") is None
        assert ENGINE.obstacle(make_run(width=3840), "cuda:1") is None
        assert "at most 3840 hidden units" in str(ENGINE.obstacle(make_run(width=3841), "cuda"))
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
