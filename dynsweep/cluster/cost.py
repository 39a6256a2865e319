"""How long runs take, by estimate: what shares are made even by."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from dynsweep import models
from dynsweep.config import DatasetConfig, ModelConfig, RunConfig
from dynsweep.data import load
from dynsweep.engines.batches import total_steps

# Floating-point operations a second of one CPU thread and of one GPU, in round numbers: the
# former measured (1.4e11 with the compiled engine, 5e10 with convolutions), the latter a guess.
CPU_THREAD, GPU = 1e11, 5e12
PASSES = 3  # forward, and backward to weights and to activations
HESSIAN = 2  # a product with the Hessian, in gradients
PRODUCTS = 15  # with the Hessian, in a measurement of sharpness


def work(run: RunConfig) -> float:
    """Floating-point operations of a run, about."""
    data = load(run.dataset)
    samples, whole = run.optimizer.batch_size or 0, len(data.train_labels)
    gradient = PASSES * forward(run.dataset, run.model)
    steps = total_steps(run)
    operations = gradient * (samples or whole) * steps
    if run.observe.sharpness.every:
        measured = min(run.observe.sharpness.samples or whole, whole)
        products = (run.observe.sharpness.order or PRODUCTS) * HESSIAN
        operations += gradient * measured * products * (steps // run.observe.sharpness.every)
    return operations + gradient * whole  # the last evaluation, also of a run of no steps


def seconds(run: RunConfig, threads: int, gpus: int) -> float:
    """What :func:`work` takes with so many CPU threads, or GPUs if there are any."""
    return work(run) / (gpus * GPU if gpus else threads * CPU_THREAD)


@lru_cache
def forward(dataset: DatasetConfig, config: ModelConfig) -> float:
    """Floating-point operations of one sample on its way through a model."""
    data = load(dataset)
    model = models.build(config, data.shape, data.classes)

    def meta(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            name: torch.empty_like(value[None], device="meta") for name, value in tensors.items()
        }

    packed = {name: value.to("meta") for name, value in model.pack(meta(model.init(0))).items()}
    inputs = torch.empty(1, 1, *data.shape, dtype=torch.float64, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.forward(packed, inputs, meta(model.buffers()), False)
    return float(counter.get_total_flops())
