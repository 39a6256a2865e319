"""Which samples a minibatch has: one law for all engines, by arithmetic on whole numbers.

An epoch is a random order of the training set, cut into minibatches; what is left over waits for
the next epoch's order. Everything follows from the run's seed and the epoch alone, whichever runs
share its batch, so nothing has to be saved to go on.

The order of n samples is a scrambled 0, 1, ..., 2^b - 1, of which those below n are kept, with 2^b
the next power of two: multiplications by odd numbers and shifts, which can be undone, so that each
number comes once (after Kensler, "Correlated Multi-Jittered Sampling", Pixar 2013). A GPU draws it
without its host, the compiled engine in a microsecond.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dynsweep.models import seeding

PADDING = 4  # pixels on each side, in which an augmented image is shifted
ROUNDS = 6
LARGEST = 2**24  # numbers of several runs that are scrambled together
BITS = 30  # of a key; products of two stay below 2^63
_INCREMENT, _FIRST, _SECOND = map(
    np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_30, _27, _31, _34, _HALF = map(np.uint64, (30, 27, 31, 34, 2**32))


def key(seed: Any, epoch: Any, number: Any) -> Any:
    """A random number of BITS bits, for each of two to a round: SplitMix64 (Steele et al. 2014).

    All are ``np.uint64``, or arrays of them. numba compiles this too.
    """
    value = seed * _FIRST + (epoch * _HALF + number) * _INCREMENT + _INCREMENT
    for _ in range(2):
        value = (value ^ (value >> _30)) * _FIRST
        value = (value ^ (value >> _27)) * _SECOND
        value = value ^ (value >> _31)
    return value >> _34


def scrambled(value: Any, factor: Any, summand: Any, shift: Any, mask: Any) -> Any:
    """A round: whole numbers from 0 to ``mask``, 2^b - 1, in another order. int64, or arrays."""
    value = (value * (factor | 1) + summand) & mask
    return value ^ (value >> shift)


def bits(samples: int) -> int:
    """b, at least 1."""
    return max(1, (samples - 1).bit_length())


def keys(seeds: list[int], epoch: int) -> NDArray[np.int64]:
    """The keys of an epoch, shape ``(2 * ROUNDS, runs)``."""
    numbers = np.arange(2 * ROUNDS, dtype=np.uint64)[:, None]
    drawn: NDArray[np.uint64] = key(np.array(seeds, np.uint64), np.uint64(epoch), numbers)
    return drawn.astype(np.int64)


class Minibatches:
    """Which samples each run sees at which step, and how they are shifted and mirrored."""

    def __init__(
        self, seeds: list[int], samples: int, size: int, augment: bool, device: torch.device
    ) -> None:
        self.seeds, self.samples, self.size, self.augment = seeds, samples, size, augment
        self.device, self.per_epoch, self.epoch = device, samples // size, -1
        # A captured graph looks for them where they are now.
        self.order = torch.zeros(len(seeds), samples, dtype=torch.int64, device=device)
        self.views = self.order.new_zeros(len(seeds), samples if augment else 0, 3)

    def begin(self, epoch: int) -> None:
        """Draw the order of an epoch, and its shifts and mirrors, unless it is the present one."""
        if epoch == self.epoch:
            return
        drawn = torch.as_tensor(keys(self.seeds, epoch)).to(self.device)
        length, runs = bits(self.samples), len(self.seeds)
        size = max(1, LARGEST >> length)
        for some in [slice(start, start + size) for start in range(0, runs, size)]:
            value = torch.arange(2**length, device=self.device)
            for number in range(ROUNDS):
                factor, summand = drawn[2 * number : 2 * number + 2, some, None]
                value = scrambled(value, factor, summand, (length + 1) // 2, 2**length - 1)
            self.order[some] = value[value < self.samples].view(-1, self.samples)
        if self.augment:
            for k, seed in enumerate(self.seeds):
                generator = seeding.generator(seed, seeding.AUGMENT, epoch)
                shift = torch.randint(0, 2 * PADDING + 1, (self.samples, 2), generator=generator)
                mirror = torch.randint(0, 2, (self.samples, 1), generator=generator)
                self.views[k] = torch.cat([shift, mirror], dim=1)
        self.epoch = epoch

    def indices(self, step: int | Tensor) -> tuple[Tensor, Tensor]:
        """The samples of minibatch number ``step``, shape ``(runs, size)``, and their places in
        the epoch ``(size,)``.

        A ``step`` on the device is one of the epoch that was begun last.
        """
        if isinstance(step, int):
            self.begin(step // self.per_epoch)
        where = torch.arange(self.size, device=self.device) + step % self.per_epoch * self.size
        return self.order[:, where], where

    def view(self, images: Tensor, where: Tensor) -> Tensor:
        """Images ``(runs, size, channels, height, width)`` shifted by up to PADDING pixels, with 0
        from outside, and mirrored or not."""
        if not self.augment:
            return images
        down, right, mirror = self.views[:, where].unbind(-1)
        runs, size, channels, height, width = images.shape
        padded = torch.nn.functional.pad(images, (PADDING,) * 4)
        columns = torch.arange(width, device=images.device)
        columns = torch.where(mirror[..., None] == 1, columns.flip(0), columns)
        rows = torch.arange(height, device=images.device) + down[..., None]
        columns = columns + right[..., None]
        rows = rows[:, :, None, :, None].expand(runs, size, channels, height, padded.shape[-1])
        columns = columns[:, :, None, None, :].expand(runs, size, channels, height, width)
        return padded.gather(3, rows).gather(4, columns)
