"""The Triton engine against the reference engine, and its kernel through the CUDA compiler.

Without a GPU the kernels run in Triton's interpreter. Triton decides that as it is imported, so
the tests of ``TestKernels`` then run in a process of their own.
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

import numpy as np
import pytest
import torch

from dynsweep.config import RunConfig
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.engines.triton import TritonEngine, interpreted
from dynsweep.engines.triton_geometry import geometry

Make = Callable[..., RunConfig]
DEVICE = "cuda" if torch.cuda.is_available() and not interpreted() else "cpu"
ENGINE = TritonEngine()
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")


def sessions(*runs: RunConfig) -> tuple[Any, Any]:
    """The same batch with this engine and with the reference engine, in float64."""
    return ENGINE.begin(Batch(runs), DEVICE), ReferenceEngine().begin(Batch(runs), "cpu")


@pytest.fixture
def tiny(make_run: Make) -> Make:
    """A run that the interpreter trains in tenths of a second a step."""

    def make(**settings: Any) -> RunConfig:
        small = {"samples_per_class": 3, "validation_samples_per_class": 5, "width": 11}
        return make_run(**{**small, "period": 6, "amplitude": 30.0, **settings})

    return make


class TestKernels:
    __test__ = HAS_TRITON and (interpreted() or DEVICE == "cuda")

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"bias": False, "width": 19, "classes": 5},
            {"counting": "notebook", "width": 70, "samples_per_class": 2, "init": "glorot"},
            {"steps": 20, "samples_per_class": 7},  # the last period is static
            {"width": 300, "classes": 2, "samples_per_class": 1},  # two warps on the GPU
        ],
    )
    def test_twenty_steps_in_float64(self, tiny: Make, settings: dict[str, Any]) -> None:
        settings = {"precision": "float64", **settings}
        runs = [tiny(**settings, lr=0.5), tiny(**settings | {"period": 9, "seed": 4})]
        trained, reference = sessions(*runs)
        for steps in (7, 13):
            trained.advance(steps)
        reference.advance(20)
        assert trained.step == 20
        expected = reference.weights()
        assert trained.weights().keys() == expected.keys()
        for name, value in trained.weights().items():
            assert value.dtype == np.float64
            assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name
        for ours, theirs in zip(
            vars(trained.evaluate()).values(), vars(reference.evaluate()).values(), strict=True
        ):
            assert ours == pytest.approx(theirs, rel=1e-9)

    def test_float32_to_rounding(self, tiny: Make) -> None:
        trained, reference = sessions(tiny(), tiny(seed=1, lr=0.3))
        for session in (trained, reference):
            session.advance(8)
        for name, value in trained.weights().items():
            assert value.dtype == np.float32
            assert value == pytest.approx(reference.weights()[name], rel=1e-4, abs=1e-5), name

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_neither_batch_nor_chunks_change_a_bit(self, tiny: Make, precision: str) -> None:
        runs = [tiny(precision=precision, seed=i, period=3 + i, lr=0.5 + i / 9) for i in range(3)]
        together, alone = sessions(*runs)[0], sessions(runs[2])[0]
        together.advance(6)
        for steps in (1, 0, 2, 3):
            alone.advance(steps)
        for name, value in together.weights().items():
            assert np.array_equal(value[2], alone.weights()[name][0]), name
        for both, one in zip(
            vars(together.evaluate()).values(), vars(alone.evaluate()).values(), strict=True
        ):
            assert both[2] == one[0]

    def test_many_launches_are_one(self, tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        whole, cut = sessions(tiny())[0], sessions(tiny())[0]
        whole.advance(7)
        monkeypatch.setattr("dynsweep.engines.triton_session.TABLE", 6)  # two steps of 3 classes
        cut.advance(7)
        assert np.array_equal(whole.weights()["w1"], cut.weights()["w1"])

    def test_goes_on_from_a_state(self, tiny: Make) -> None:
        runs = (tiny(), tiny(seed=1, bias=True))
        first, second = sessions(*runs)[0], sessions(*runs)[0]
        first.advance(3)
        second.restore(3, first.state())
        for session in (first, second):
            session.advance(3)
        assert second.step == 6
        for name, value in first.weights().items():
            assert np.array_equal(value, second.weights()[name]), name

    def test_initial_weights_are_those_of_the_model(self, tiny: Make) -> None:
        for settings in ({}, {"bias": False}, {"width": 8, "init": "glorot"}):
            trained, reference = sessions(tiny(**settings))
            expected = reference.weights()
            assert trained.weights().keys() == expected.keys()
            for name, value in trained.weights().items():
                assert np.array_equal(value, expected[name])

    def test_a_diverging_run_leaves_the_others_alone(self, tiny: Make) -> None:
        both, alone = sessions(tiny(), tiny(lr=1e30))[0], sessions(tiny())[0]
        both.advance(5)
        alone.advance(5)
        assert np.array_equal(both.weights()["w1"][0], alone.weights()["w1"][0])
        assert not np.isfinite(both.weights()["w1"][1]).all()
        metrics = both.evaluate()
        assert metrics.train_accuracy[1] == 0
        assert not np.isfinite(metrics.train_loss[1])


@needs_triton
@pytest.mark.skipif(interpreted(), reason="already in the interpreter")
def test_kernels_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    child = subprocess.run(
        [*command, "-k", "TestKernels"],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stdout + child.stderr


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
