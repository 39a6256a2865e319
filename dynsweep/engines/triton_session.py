"""Training of one batch with the Triton kernel.

Every table of steps is a launch. Between launches the weights rest in global memory, unchanged,
so that the cuts change no bit.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from dynsweep.config import MLPConfig
from dynsweep.engines import triton_kernel
from dynsweep.engines.base import Session
from dynsweep.engines.batches import Batch
from dynsweep.engines.triton_geometry import geometry


class TritonSession(Session):
    """Training of one batch; see :class:`dynsweep.engines.base.Session`."""

    def __init__(self, batch: Batch, device: str) -> None:
        data, run = batch.dataset, batch.first
        shape = geometry(run.model.width, data.train_inputs.shape[1], data.classes, run.precision)
        if shape is None or not isinstance(run.model, MLPConfig):
            raise ValueError("this engine has an obstacle to the batch; ask it first")
        self.kernel: Any = triton_kernel
        self.step, self.runs, self.width, self.bias = (
            0,
            len(batch),
            run.model.width,
            run.model.bias,
        )
        self.inputs = data.train_inputs.shape[1]
        self.device, self.dtype = torch.device(device), getattr(torch, run.precision)
        self.options = {
            **shape.constants(),
            "INPUTS": self.inputs,
            "CLASSES": data.classes,
            "BIAS": self.bias,
            "num_warps": shape.unit_warps,
            "num_stages": 1,
            "enable_fp_fusion": False,
        }
        # Samples (inputs, samples) in whole tiles, padded with label -1.
        self.share = 1 / len(data.train_labels)
        extra = -len(data.train_labels) % shape.samples
        points, labels = torch.as_tensor(data.train_inputs).T, torch.as_tensor(data.train_labels)
        self.points = pad(points, (0, extra)).contiguous().to(self.device, self.dtype)
        self.labels = pad(labels.int(), (0, extra), value=-1).to(self.device)
        self.tiles = len(self.labels) // shape.samples

        params = batch.initial_weights()
        rows = [params["w1"], params["w2"].mT]  # (runs, inputs, width), (runs, classes, width)
        rows.insert(
            1, params["b1"].unsqueeze(1) if self.bias else torch.zeros_like(rows[0][:, :1])
        )
        hidden = pad(torch.cat(rows, dim=1), (0, shape.width - self.width))
        b2 = params["b2"] if self.bias else hidden.new_zeros(self.runs, data.classes)
        self.hidden = hidden.to(self.device, self.dtype).contiguous()
        self.output_bias = b2.to(self.device, self.dtype).contiguous()

    def advance(self, class_weights: Tensor, rates: Tensor) -> None:
        with torch.cuda.device(self.hidden.get_device()):
            self.kernel.train[(self.runs,)](
                self.hidden,
                self.output_bias,
                rates.contiguous(),
                (class_weights * self.share).contiguous(),
                self.points,
                self.labels,
                len(rates),
                self.tiles,
                self.runs,
                **self.options,
            )
            if self.device.type == "cuda":  # else the driver would measure, and pile up, launches
                torch.cuda.synchronize()
        self.step += len(rates)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        hidden = self.hidden[..., : self.width].cpu().numpy()
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
