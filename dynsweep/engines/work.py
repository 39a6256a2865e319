"""How much there is to compute in a run, and to hold, counted without computing."""

from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from dynsweep.config import DatasetConfig, ModelConfig, RunConfig
from dynsweep.curvature.lanczos import MOST
from dynsweep.data import load
from dynsweep.engines.batches import total_steps

PASSES = 3  # forward, and backward to weights and to activations
HESSIAN = 2  # a product with the Hessian, in gradients
PRODUCTS = 15  # with the Hessian, in a measurement of sharpness


def operations(run: RunConfig) -> float:
    """Floating-point operations of a run, about."""
    whole, steps = len(load(run.dataset).train_labels), total_steps(run)
    gradient = PASSES * _forward(run.dataset, run.model)
    count = gradient * (run.optimizer.batch_size or whole) * steps
    if run.observe.sharpness.every:
        measured = min(run.observe.sharpness.samples or whole, whole)
        products = (run.observe.sharpness.order or PRODUCTS) * HESSIAN
        count += gradient * measured * products * (steps // run.observe.sharpness.every)
    if (landscape := run.observe.landscape).every:
        profiles = 2 * (2 * landscape.points + 1) / PASSES  # forward only
        count += gradient * whole * (profiles + PRODUCTS * HESSIAN) * (steps // landscape.every)
    return count + gradient * whole  # the last evaluation, also of a run of no steps


def measuring(run: RunConfig) -> int:
    """Bytes that one run takes while its curvature is measured, besides activations in slices."""
    data, observe = load(run.dataset), run.observe
    vectors = 0  # of the size of the parameters
    if observe.sharpness.every or run.optimizer.schedule.name == "sharpness":
        vectors = 2 * (observe.sharpness.order or MOST)  # Lanczos' basis, and a copy of it
    if observe.landscape.every:
        vectors = max(vectors, 2 * MOST)
    if observe.ntk.every:
        vectors = max(vectors, 2 * observe.ntk.samples * data.classes)
    numbers = vectors * run.model.build(data.shape, data.classes).size
    return numbers * (8 if run.dtype == "float64" else 4)


@lru_cache
def _forward(dataset: DatasetConfig, config: ModelConfig) -> float:
    """Floating-point operations of one sample on its way through a model."""
    data = load(dataset)
    model = config.build(data.shape, data.classes)
    weights = model.pack({name: value[None] for name, value in model.init(0).items()})
    weights = {name: value.to("meta") for name, value in weights.items()}
    buffers = {name: value[None].to("meta") for name, value in model.buffers().items()}
    inputs = torch.empty(1, 1, *data.shape, dtype=torch.float64, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.forward(weights, inputs, buffers, False)
    return float(counter.get_total_flops())
