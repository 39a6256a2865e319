"""Convolutional networks and minibatches: against PyTorch's own, and together against alone."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import advance
from conftest import COMMAND, ENVIRONMENT
from torch import nn
from torch.nn import functional

from dynsweep import models
from dynsweep.config import (
    CIFAR10Config,
    LossConfig,
    MLPConfig,
    Myrtle5Config,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    SpiralsConfig,
    WideResNetConfig,
)
from dynsweep.data import load
from dynsweep.engines import Session, choose
from dynsweep.engines.batches import Batch, total_steps
from dynsweep.engines.minibatches import PADDING, Minibatches
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.training.driver import train
from dynsweep.training.probe import Probe, measure
from dynsweep.training.schedules import factor

SUBSET = Path(__file__).parents[2] / "shared" / "cifar-10-subset"
needs_images = pytest.mark.skipif(not SUBSET.exists(), reason="needs the CIFAR-10 subset")
SHAPE = (3, 32, 32)
MODELS = {"myrtle5": Myrtle5Config(width=4), "wide_resnet": WideResNetConfig(width=2, depth=10)}


def make_run(model: str = "myrtle5", **changes: Any) -> RunConfig:
    run = RunConfig(
        CIFAR10Config(root=str(SUBSET), samples_per_class=6, validation_samples_per_class=3),
        MODELS[model],
        LossConfig(period=6),
        OptimizerConfig(
            lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01, batch_size=20,
            schedule=ScheduleConfig("cosine", warmup=0.2),
        ),
        epochs=4,
        precision="float64",
    )  # fmt: skip
    run = replace(run, **changes)
    run.check()
    return run


def count(model: models.Model) -> int:
    return sum(value.numel() for value in model.init(0).values())


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (Myrtle5Config(), 64 * 27 + 3 * 64 * 64 * 9 + 640),
        (WideResNetConfig(), 2_748_890),  # WRN-16-4, "2.8M" in the paper's table 5
        (WideResNetConfig(depth=28, widen=10), 36_479_194),  # WRN-28-10, "36.5M"
        (WideResNetConfig(depth=40, widen=4), 8_949_210),  # WRN-40-4, "8.9M"
    ],
)
def test_parameter_counts_are_the_published_ones(config: Any, parameters: int) -> None:
    model = config.build(SHAPE, 10)
    assert count(model) == model.size == parameters


def myrtle5_of_modules(width: int) -> nn.Sequential:
    def conv(inputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.ReLU()]

    return nn.Sequential(
        *conv(3), *conv(width), nn.AvgPool2d(2), *conv(width), nn.AvgPool2d(2), *conv(width),
        nn.AvgPool2d(2), nn.AvgPool2d(2), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(width, 10, bias=False),
    )  # fmt: skip


def test_myrtle5_agrees_with_modules() -> None:
    model, plain = Myrtle5Config(width=5).build(SHAPE, 10), myrtle5_of_modules(5).double()
    params = model.init(3)
    with torch.no_grad():
        for weight, value in zip(plain.parameters(), params.values(), strict=True):
            weight.copy_(value.T if value.dim() == 2 else value)
    images = torch.randn(7, *SHAPE, dtype=torch.float64)
    stacked = {name: value[None] for name, value in params.items()}
    ours = model.forward(stacked, images[None], {}, False)[0]
    torch.testing.assert_close(ours, plain(images), rtol=1e-10, atol=1e-12)


class PlainBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Any) -> Any:
        first = self.bn1(x).relu()
        rest = self.conv2(self.bn2(self.conv1(first)).relu())
        return rest + (self.shortcut(first) if hasattr(self, "shortcut") else x)


class PlainWideResNet(nn.Module):
    """WRN-16-2 from the paper's table 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        sizes = [(4, 8, 1), (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1)]
        for k, size in enumerate(sizes):
            self.add_module(f"{k // 2}_{k % 2}", PlainBlock(*size))
        self.bn, self.dense = nn.BatchNorm2d(32), nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        x = self.conv(x)
        for k in range(6):
            x = getattr(self, f"{k // 2}_{k % 2}")(x)
        return self.dense(self.bn(x).relu().mean(dim=(2, 3)))


def test_wide_resnet_agrees_with_modules() -> None:
    """In training and in evaluation, running statistics included."""
    model = WideResNetConfig(width=4, depth=16, widen=2).build(SHAPE, 10)
    plain, params = PlainWideResNet().double(), model.init(1)
    names = {"weight": "scale", "bias": "shift", "running_mean": "mean"}
    buffers = {name: value[None].clone() for name, value in model.buffers().items()}

    def ours(name: str) -> str:
        module, _, kind = name.rpartition(".")
        module = module.replace("_", ".")
        if "bn" in module:
            return f"{module}.{names.get(kind, 'variance')}"
        return f"dense.{kind}" if module == "dense" else module

    with torch.no_grad():
        for name, weight in plain.named_parameters():
            value = params[ours(name)]
            weight.copy_(value.T if ours(name) == "dense.weight" else value)
    stacked = {name: value[None] for name, value in params.items()}
    for training in (True, False):
        plain.train(training)
        images = torch.randn(6, *SHAPE, dtype=torch.float64)
        logits = model.forward(stacked, images[None], buffers, training)[0]
        torch.testing.assert_close(logits, plain(images), rtol=1e-10, atol=1e-12)
    for name, value in plain.named_buffers():
        if "num_batches" not in name:
            torch.testing.assert_close(buffers[ours(name)][0], value, rtol=1e-12, atol=1e-12)


@needs_images
@pytest.mark.parametrize("schedule", ["constant", "cosine", "piecewise"])
def test_training_agrees_with_an_ordinary_loop(schedule: str) -> None:
    """torch.optim.SGD, modules and a loop over minibatches, in float64 over all steps."""
    run = make_run()
    run.optimizer.schedule = ScheduleConfig(schedule, warmup=0.2, milestones=(0.5, 0.8))
    data, steps = load(run.dataset), total_steps(run)
    assert steps == 12
    plain = myrtle5_of_modules(4).double()
    initial = run.model.build(SHAPE, 10).init(run.seed)
    with torch.no_grad():
        for weight, value in zip(plain.parameters(), initial.values(), strict=True):
            weight.copy_(value.T if value.dim() == 2 else value)
    optimizer = torch.optim.SGD(
        plain.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01
    )
    assert data.mean is not None
    assert data.std is not None
    scaled = (data.train_inputs - data.mean[:, None, None]) / data.std[:, None, None]
    batches = Minibatches([0], 60, 20, False, torch.device("cpu"))
    for step in range(steps):
        chosen = batches.indices(step)[0][0].numpy()
        labels = data.train_labels[chosen]
        g = np.ones(10)
        if step < steps - 6:
            g[step // 6 % 10] = 1 + 19 * (1 - abs(2 * (step % 6) / 6 - 1))
        weights = torch.as_tensor((10 * g / g.sum())[labels])
        logits = plain(torch.as_tensor(scaled[chosen]))
        losses = functional.cross_entropy(logits, torch.as_tensor(labels), reduction="none")
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * factor(run.optimizer.schedule, step, steps)
        optimizer.zero_grad()
        (weights * losses).mean().backward()
        optimizer.step()
    session = ReferenceEngine().begin(Batch((run,)), "cpu")
    advance(session, steps, run)
    for weight, ours in zip(plain.parameters(), session.weights().values(), strict=True):
        expected = weight.detach().numpy()
        expected = expected.T if expected.ndim == 2 else expected
        np.testing.assert_allclose(ours[0], expected, rtol=1e-8, atol=1e-10)


def test_schedules() -> None:
    def values(name: str, **settings: Any) -> list[float]:
        return [factor(ScheduleConfig(name, **settings), step, 10) for step in range(10)]

    assert values("constant") == [1] * 10
    np.testing.assert_allclose(values("constant", warmup=0.4)[:5], [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(values("linear", final=0.5), 1 - 0.05 * np.arange(10))
    np.testing.assert_allclose(values("linear", warmup=0.5)[5:], [1, 0.8, 0.6, 0.4, 0.2])
    cosine = (1 + np.cos(np.pi * np.arange(10) / 10)) / 2
    np.testing.assert_allclose(values("cosine"), cosine, atol=1e-15)
    steps = values("piecewise", milestones=(0.3, 0.8), factor=0.1)
    np.testing.assert_allclose(steps, [1] * 3 + [0.1] * 5 + [0.01] * 2)


def several(model: str, precision: str) -> tuple[RunConfig, ...]:
    """Runs that differ in all that may differ within a batch."""
    runs = []
    for k in range(3):
        run = make_run(model, seed=k, precision=precision)
        run.optimizer = replace(run.optimizer, lr=0.02 + 0.02 * k, momentum=0.5 + 0.2 * k)
        run.loss = replace(run.loss, period=2 + k, amplitude=1.0 + 9 * k)
        run.dataset = replace(run.dataset, augment=True)
        runs.append(run)
    return tuple(runs)


@needs_images
@pytest.mark.parametrize(
    ("precision", "steps", "tolerance"), [("float64", 12, 1e-9), ("float32", 3, 2e-4)]
)
@pytest.mark.parametrize("model", MODELS)
def test_together_as_alone(model: str, precision: str, steps: int, tolerance: float) -> None:
    runs = several(model, precision)
    together = ReferenceEngine().begin(Batch(runs), "cpu")
    advance(together, steps, *runs)
    whole = measured(together, *runs)
    for k, run in enumerate(runs):
        alone = ReferenceEngine().begin(Batch((run,)), "cpu")
        advance(alone, steps, run)
        for name, value in alone.weights().items():
            size = np.abs(value).max()
            ours = together.weights()[name][k]
            np.testing.assert_allclose(ours, value[0], rtol=tolerance, atol=tolerance * size)
        for name, metric in measured(alone, run).items():
            np.testing.assert_allclose(whole[name][k], metric[0], rtol=1e-3)


def measured(session: Session, *runs: RunConfig) -> dict[str, Any]:
    return measure(session, Probe(Batch(runs), "cpu"))


def test_every_epoch_is_a_new_order_of_all_samples() -> None:
    cpu = torch.device("cpu")
    batches = Minibatches([0, 1], 10, 3, False, cpu)
    assert batches.per_epoch == 3
    seen = torch.cat([batches.indices(step)[0] for step in range(3)], dim=1)
    assert [len(set(row.tolist())) for row in seen] == [9, 9]
    assert not torch.equal(seen[0], seen[1])
    again = torch.cat([batches.indices(step)[0] for step in range(3, 6)], dim=1)
    assert not torch.equal(seen, again)
    alone = Minibatches([1], 10, 3, False, cpu)
    torch.testing.assert_close(alone.indices(4)[0][0], again[1, 3:6])
    alone.begin(1)
    torch.testing.assert_close(alone.indices(torch.tensor(4))[0][0], again[1, 3:6])


def test_augmentation_shifts_and_mirrors() -> None:
    images = torch.arange(2 * 4 * 3 * 8 * 8, dtype=torch.float64).view(2, 4, 3, 8, 8) + 1
    batches = Minibatches([0, 1], 4, 4, True, torch.device("cpu"))
    _, where = batches.indices(0)
    views = batches.view(images, where)
    padded = functional.pad(images, (PADDING,) * 4)
    mirrored = 0
    for run in range(2):
        for k in range(4):
            down, right, mirror = batches.views[run, k].tolist()
            expected = padded[run, k, :, down : down + 8, right : right + 8]
            expected = expected.flip(-1) if mirror else expected
            torch.testing.assert_close(views[run, k], expected)
            mirrored += mirror
    assert 0 < mirrored < 8


@needs_images
def test_engines_and_batches_are_chosen() -> None:
    run = make_run()
    assert choose(run, "cpu").name == "reference"
    assert ReferenceEngine().batch_size(run, "cpu") == 1
    spirals = RunConfig(SpiralsConfig(), MLPConfig())
    assert choose(spirals, "cpu").name == "compiled"
    for change in ({"momentum": 0.9}, {"batch_size": 10}, {"weight_decay": 0.1}):
        other = replace(spirals, optimizer=OptimizerConfig(**change))
        assert choose(other, "cpu").name == "compiled"
    assert choose(replace(spirals, loss=LossConfig(static_end=0.1)), "cpu").name == "compiled"


def test_the_simple_model_may_use_minibatches_and_momentum() -> None:
    run = RunConfig(SpiralsConfig(), MLPConfig(), LossConfig(), epochs=500)
    run.optimizer = OptimizerConfig(lr=0.2, momentum=0.9, batch_size=50)
    outcome = train(Batch((run,)), ReferenceEngine(), "cpu")
    assert outcome.metrics["train_accuracy"][0] > 0.5


@pytest.mark.slow
@needs_images
def test_it_learns() -> None:
    """Forty images are learnt by heart, by the network with batch norm too."""
    for model, config in (("myrtle5", Myrtle5Config(width=16)), ("wide_resnet", None)):
        run = make_run(model, epochs=150, precision="float32")
        run.model = config or run.model
        run.dataset = replace(run.dataset, samples_per_class=4)
        run.loss = LossConfig(amplitude=1.0)
        metrics = train(Batch((run,)), ReferenceEngine(), "cpu").metrics
        assert metrics["train_accuracy"][0] > 0.9


@needs_images
@pytest.mark.parametrize("model", MODELS)
def test_a_session_goes_on_from_its_state_to_the_bit(model: str) -> None:
    batch = Batch(several(model, "float32")[:2])
    whole, first, second = (ReferenceEngine().begin(batch, "cpu") for _ in range(3))
    advance(whole, 7, *batch.runs)
    advance(first, 3, *batch.runs)
    second.restore(3, first.state())
    advance(second, 4, *batch.runs)
    for name, value in whole.weights().items():
        np.testing.assert_array_equal(second.weights()[name], value)


LONG = ["dataset=cifar10", f"dataset.root={SUBSET}", "dataset.samples_per_class=40",
        "dataset.validation_samples_per_class=5", "dataset.augment=true", "model=wide_resnet",
        "model.depth=10", "model.width=2", "optimizer=minibatch", "optimizer.batch_size=40",
        "epochs=12", "loss.period=20", "observe.records=5", "hydra.run.dir=out"]  # fmt: skip


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *LONG, *arguments],
        cwd=place, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def outcome(place: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    frame = pd.read_csv(place / "out" / "results.csv").drop(columns="seconds")
    (weights,) = (place / "out" / "weights").glob("*.npz")
    with np.load(weights) as arrays:
        return frame, {name: arrays[name] for name in arrays.files}


@pytest.mark.slow
@needs_images
def test_a_killed_training_goes_on_from_its_checkpoint(
    tmp_path: Path, dynsweep: Callable[..., Any]
) -> None:
    """SIGKILL in the middle of minibatch training; the result is the undisturbed one."""
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    for place in (killed, undisturbed):
        place.mkdir()
    done = start(undisturbed)
    _, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    process = start(killed, "checkpoint_minutes=0")
    deadline = time.monotonic() + 120
    while not list(killed.glob("out/checkpoints/*.npz")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(killed.glob("out/runs/*.jsonl"))
    (saved,) = killed.glob("out/checkpoints/*.npz")
    with np.load(saved) as arrays:
        assert 0 < arrays["state/step"] < 120
    done = start(killed)
    _, errors = done.communicate(timeout=300)
    assert done.returncode == 0, errors
    assert not (killed / "out" / "checkpoints").exists()
    (frame, weights), (other_frame, other_weights) = outcome(killed), outcome(undisturbed)
    pd.testing.assert_frame_equal(frame, other_frame)
    assert weights.keys() == other_weights.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(value, other_weights[name])


@needs_images
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("optimizer.batch_size=401", "must be at most 400"),
        ("model.depth=11", "must be 6 n + 4"),
        ("optimizer.momentum=1", "below 1"),
        ("optimizer.schedule.name=step", "must be one of constant"),
        ("optimizer.schedule.milestones=[0.5,0.2]", "increasing fractions"),
        ("dataset.root=nowhere", "put data_batch_1.bin"),
        ("precision=bfloat16", "CUDA only"),
        ("engine=compiled", "not model=wide_resnet"),
    ],
)
def test_bad_settings(
    tmp_path: Path, dynsweep: Callable[..., Any], argument: str, words: str
) -> None:
    done = dynsweep(*LONG, "dataset.download=false", argument)
    assert done.returncode == 2
    (line,) = [one for one in done.stderr.splitlines() if "error" in one]
    assert words in line
    assert argument.partition(".")[0].partition("=")[0] in line
    assert not (tmp_path / "out" / "runs").exists()
