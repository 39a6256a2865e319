"""Sharpness and neural tangent kernel per evaluation: dynsweep, curvlinops, plain PyTorch.

    python benchmarks/curvature.py [--runs 16]       # curvlinops comes with .[bench]

Milliseconds per run, float64, one thread: the largest eigenvalue of the static loss's Hessian to
1e-6 at H = 100, and the kernel of 50 points. "One at a time" is ordinary PyTorch: power iteration
on double backward to the same accuracy, and a loop of backward passes over samples and outputs.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import torch
from torch import nn

from dynsweep.config import EngineConfig, LossConfig, MLPConfig, RunConfig, SpiralsConfig
from dynsweep.curvature.ntk import chosen
from dynsweep.engines.batches import Batch
from dynsweep.engines.reference import ReferenceEngine
from dynsweep.training.probe import Probe
from dynsweep.training.schedules import Schedule

TOLERANCE = 1e-6
POINTS = 50


def trained(runs: int) -> Probe:
    made = tuple(
        RunConfig(
            SpiralsConfig(), MLPConfig(), LossConfig(amplitude=1.0), precision="float64",
            engine=EngineConfig(threads=1), seed=seed, steps=1000,
        )
        for seed in range(runs)
    )  # fmt: skip
    batch = Batch(made)
    session, probe = ReferenceEngine().begin(batch, "cpu"), Probe(batch, "cpu")
    Schedule(batch, "cpu").advance(session, 500)
    probe.load(session)
    return probe


def modules(probe: Probe) -> list[nn.Module]:
    made = []
    weights = probe.network.weights()
    for run in range(probe.runs):
        model = nn.Sequential(nn.Linear(2, 100), nn.ReLU(), nn.Linear(100, 3)).double()
        with torch.no_grad():
            for param, name in zip(model.parameters(), ("w1", "b1", "w2", "b2"), strict=True):
                param.copy_(torch.as_tensor(weights[name][run].T.copy()))
        made.append(model)
    return made


def power_iteration(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    params = list(model.parameters())
    loss = nn.functional.cross_entropy(model(inputs), labels)
    gradients = torch.autograd.grad(loss, params, create_graph=True)
    vectors = [torch.randn_like(p) for p in params]
    before = 0.0
    for _ in range(1000):
        norm = torch.sqrt(sum((v * v).sum() for v in vectors))  # type: ignore[arg-type]
        vectors = [v / norm for v in vectors]
        inner = sum((g * v).sum() for g, v in zip(gradients, vectors, strict=True))
        products = torch.autograd.grad(inner, params, retain_graph=True)  # type: ignore[arg-type]
        value = float(sum((v * p).sum() for v, p in zip(vectors, products, strict=True)))
        if abs(value - before) < TOLERANCE * abs(value):
            break
        before, vectors = value, list(products)
    return value


def curvlinops_value(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    from curvlinops import HessianLinearOperator
    from scipy.sparse.linalg import eigsh

    params = list(model.parameters())
    data = [(inputs, labels)]
    operator = HessianLinearOperator(
        model, nn.CrossEntropyLoss(), params, data, check_deterministic=False
    )
    found = eigsh(operator.to_scipy(), k=1, which="LA", return_eigenvectors=False, tol=TOLERANCE)
    return float(found[0])


def looped_ntk(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    params = list(model.parameters())
    rows = []
    for one in inputs:
        logits = model(one)
        for logit in logits:
            gradients = torch.autograd.grad(logit, params, retain_graph=True)
            rows.append(torch.cat([g.flatten() for g in gradients]))
    jacobian = torch.stack(rows).view(len(inputs), -1)
    return jacobian @ jacobian.T / logits.numel()


def milliseconds(function: Callable[[], object], runs: int) -> float:
    """Per run, the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best / runs * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=16)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    probe = trained(options.runs)
    data = probe.batch.dataset
    inputs, labels = torch.as_tensor(data.train_inputs), torch.as_tensor(data.train_labels)
    samples = chosen(data.train_labels, POINTS, "balanced")
    models, single = modules(probe), trained(1)

    def each(function: Callable[..., object], *rest: torch.Tensor) -> Callable[[], object]:
        return lambda: [function(model, *rest) for model in models]

    def sharpness(of: Probe) -> torch.Tensor:
        return of.sharpness(tolerance=TOLERANCE).values[:, 0]

    exact = [power_iteration(model, inputs, labels) for model in models]
    error = (sharpness(probe) - torch.tensor(exact)).abs().max() / max(exact)
    runs = options.runs
    rows = [
        (
            f"dynsweep, {runs} runs together",
            milliseconds(lambda: sharpness(probe), runs),
            milliseconds(lambda: probe.ntk(samples), runs),
        ),
        (
            "dynsweep, one run",
            milliseconds(lambda: sharpness(single), 1),
            milliseconds(lambda: single.ntk(samples), 1),
        ),
        (
            "one at a time, PyTorch",
            milliseconds(each(power_iteration, inputs, labels), runs),
            milliseconds(each(looped_ntk, inputs[samples]), runs),
        ),
    ]
    try:
        curvlinops_value(models[0], inputs, labels)
        found = milliseconds(each(curvlinops_value, inputs, labels), runs)
        rows.append(("curvlinops and SciPy", found, float("nan")))
    except ImportError:
        print("curvlinops is not installed (pip install -e '.[bench]'): its row is missing.\n")
    print(f"Largest relative difference of sharpness to power iteration: {float(error):.1e}\n")
    print("| ms per run | sharpness | ratio | NTK of 50 points | ratio |")
    print("|---|---:|---:|---:|---:|")
    for name, first, second in rows:
        print(
            f"| {name} | {first:.3g} | {first / rows[0][1]:.1f} "
            f"| {second:.3g} | {second / rows[0][2]:.1f} |"
        )


if __name__ == "__main__":
    main()
