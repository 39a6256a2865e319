"""Layers of convolutional networks, many runs at once.

Activations have the shape ``(samples, runs * channels, height, width)``: a convolution of all
runs is one grouped convolution, and batch norm over such channels is every run's own.
"""

from dynsweep.errors import ConfigError
from dynsweep.lazy import Tensor, torch


def image_shape(model: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of a sample; :class:`ConfigError` where it is no image."""
    if len(shape) != 3:
        allowed = f"takes images, not samples of {' x '.join(map(str, shape))} numbers"
        raise ConfigError("model", model, allowed)
    channels, height, width = shape
    return channels, height, width


def merge(inputs: Tensor) -> Tensor:
    """Images ``(runs, samples, channels, height, width)`` as activations."""
    samples = inputs.shape[1]
    merged = inputs.transpose(0, 1).reshape(samples, -1, *inputs.shape[-2:])
    return merged.contiguous(memory_format=torch.channels_last)


def convolve(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Convolution without bias, padded to keep its size; weight ``(runs, out, in, k, k)``."""
    kernels = weight.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    runs, padding = weight.shape[0], weight.shape[-1] // 2
    return torch.nn.functional.conv2d(x, kernels, stride=stride, padding=padding, groups=runs)


def normalise(
    x: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor, training: bool
) -> Tensor:
    """Batch norm; all but ``x`` have the shape ``(runs, channels)``."""
    return torch.nn.functional.batch_norm(
        x, mean.view(-1), variance.view(-1), scale.flatten(), shift.flatten(), training
    )


def average(x: Tensor, runs: int) -> Tensor:
    """The mean over the image: activations to ``(runs, samples, channels)``."""
    return x.mean(dim=(2, 3)).view(len(x), runs, -1).transpose(0, 1)
