"""Training of one batch with the Triton kernels.

Training is cut into launches of at most ``TABLE / (runs * classes)`` steps. Between launches the
weights rest in global memory, unchanged, so that the cuts change no bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from dynsweep import models
from dynsweep.config import MLPConfig
from dynsweep.engines import triton_kernel
from dynsweep.engines.base import Metrics
from dynsweep.engines.batches import Batch
from dynsweep.engines.triton_geometry import geometry
from dynsweep.loss import class_weights

TABLE = 2**22  # class weights computed ahead, at most: 34 MB in float64, and as much per temporary


class TritonSession:
    """Training of one batch; see :class:`dynsweep.engines.base.Session`."""

    def __init__(self, batch: Batch, device: str) -> None:
        data, run = batch.dataset, batch.first
        shape = geometry(run.model.width, data.train_inputs.shape[1], data.classes, run.precision)
        if shape is None or not isinstance(run.model, MLPConfig):
            raise ValueError("this engine has an obstacle to the batch; ask it first")
        self.kernel: Any = triton_kernel
        self.run, self.runs, self.classes, self.shape = run, len(batch), data.classes, shape
        self.inputs = data.train_inputs.shape[1]
        self.bias = run.model.bias
        self.options = {
            **shape.constants(),
            "INPUTS": self.inputs,
            "CLASSES": self.classes,
            "num_warps": shape.unit_warps,
            "num_stages": 1,
            "enable_fp_fusion": False,
        }
        self.device = torch.device(device)
        self.dtype = getattr(torch, run.precision)
        self.step, self.steps = 0, batch.steps
        self.period = torch.as_tensor(batch.period, device=self.device)
        self.amplitude = torch.as_tensor(batch.amplitude, device=self.device)
        self.lr = torch.as_tensor(batch.lr, device=self.device, dtype=self.dtype)
        self.train = self._padded(data.train_inputs, data.train_labels)
        self.validation = self._padded(data.validation_inputs, data.validation_labels)

        model = models.build(run.model, data.shape, data.classes)
        initial = [model.init(seed) for seed in batch.seeds]
        params = {name: torch.stack([one[name] for one in initial]) for name in initial[0]}
        rows = [params["w1"], params["w2"].mT]  # (runs, inputs, width), (runs, classes, width)
        rows.insert(
            1, params["b1"].unsqueeze(1) if self.bias else torch.zeros_like(rows[0][:, :1])
        )
        hidden = pad(torch.cat(rows, dim=1), (0, shape.width - run.model.width))
        b2 = params["b2"] if self.bias else hidden.new_zeros(self.runs, self.classes)
        self.hidden = hidden.to(self.device, self.dtype).contiguous()
        self.output_bias = b2.to(self.device, self.dtype).contiguous()

    def _padded(
        self, inputs: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor, int]:
        """Inputs ``(inputs, samples)`` and labels, in whole tiles; and how many are real."""
        extra = -len(labels) % self.shape.samples
        return (
            pad(torch.as_tensor(inputs).T, (0, extra)).contiguous().to(self.device, self.dtype),
            pad(torch.as_tensor(labels, dtype=torch.int32), (0, extra), value=-1).to(self.device),
            len(labels),
        )

    def _weights(self, first: int, steps: int) -> Tensor:
        """G / P of ``steps`` steps from ``first``, shape ``(steps, runs, classes)``."""
        weights = class_weights(
            torch.arange(first, first + steps, device=self.device).unsqueeze(-1),
            self.period,
            self.amplitude,
            self.classes,
            steps=self.steps,
            last_period_static=self.run.loss.last_period_static,
            counting=self.run.loss.counting,
        )
        return weights.to(self.dtype) * (1 / self.train[2])

    def advance(self, steps: int) -> None:
        inputs, labels, _ = self.train
        longest = max(1, TABLE // (self.runs * self.classes))
        end = self.step + steps
        with torch.cuda.device(self.hidden.get_device()):
            while self.step < end:
                some = min(longest, end - self.step)
                self.kernel.train[(self.runs,)](
                    self.hidden,
                    self.output_bias,
                    self.lr,
                    self._weights(self.step, some),
                    inputs,
                    labels,
                    some,
                    len(labels) // self.shape.samples,
                    self.runs,
                    BIAS=self.bias,
                    **self.options,
                )
                self.step += some
            if self.device.type == "cuda":  # else the driver would measure, and pile up, launches
                torch.cuda.synchronize()

    def evaluate(self) -> Metrics:
        return Metrics(*self._evaluate(*self.train), *self._evaluate(*self.validation))

    def _evaluate(
        self, inputs: Tensor, labels: Tensor, samples: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        loss = torch.empty(self.runs, dtype=torch.float64, device=self.device)
        accuracy = torch.empty_like(loss)
        with torch.cuda.device(self.hidden.get_device()):
            self.kernel.evaluate[(self.runs,)](
                self.hidden,
                self.output_bias,
                loss,
                accuracy,
                inputs,
                labels,
                len(labels) // self.shape.samples,
                samples,
                **self.options,
            )
        return loss.cpu().numpy(), accuracy.cpu().numpy()

    def weights(self) -> dict[str, NDArray[np.floating]]:
        hidden = self.hidden[..., : self.run.model.width].cpu().numpy()
        weights = {
            "w1": hidden[:, : self.inputs].copy(),
            "w2": hidden[:, self.inputs + 1 :].swapaxes(1, 2).copy(),
        }
        if self.bias:
            weights["b1"] = hidden[:, self.inputs].copy()
            weights["b2"] = self.output_bias.cpu().numpy().copy()
        return weights

    def state(self) -> dict[str, NDArray[np.floating]]:
        both = {"hidden": self.hidden, "output_bias": self.output_bias}
        return {name: value.cpu().numpy().copy() for name, value in both.items()}

    def restore(self, step: int, state: Mapping[str, NDArray[np.floating]]) -> None:
        self.step = step
        self.hidden.copy_(torch.as_tensor(state["hidden"]))
        self.output_bias.copy_(torch.as_tensor(state["output_bias"]))
