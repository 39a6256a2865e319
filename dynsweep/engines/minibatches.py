"""Minibatches of a batch of runs: every run goes through the training set in its own order."""

import torch
from torch import Tensor

from dynsweep.models import seeding

PADDING = 4  # pixels on each side, in which an augmented image is shifted


class Minibatches:
    """Which samples each run sees at which step, and how they are shifted and mirrored.

    An epoch is a fresh random order of the training set, cut into minibatches of ``size``; what
    is left over waits for the next epoch's order. Everything follows from the run's seed and the
    epoch alone, whichever runs it shares a batch with, so nothing has to be saved to go on.
    """

    def __init__(self, seeds: list[int], samples: int, size: int, augment: bool) -> None:
        self.seeds, self.samples, self.size, self.augment = seeds, samples, size, augment
        self.per_epoch = samples // size
        self.epoch = -1

    def begin(self, epoch: int, device: torch.device) -> None:
        """Draw the order of an epoch, unless it is the present one's.

        Later epochs overwrite the tensors of the first, where a captured graph looks for them.
        """
        if epoch == self.epoch:
            return

        def orders(seed: int) -> Tensor:
            generator = seeding.generator(seed, seeding.SHUFFLE, epoch)
            return torch.randperm(self.samples, generator=generator)

        def views(seed: int) -> Tensor:
            generator = seeding.generator(seed, seeding.AUGMENT, epoch)
            shift = torch.randint(0, 2 * PADDING + 1, (self.samples, 2), generator=generator)
            mirror = torch.randint(0, 2, (self.samples, 1), generator=generator)
            return torch.cat([shift, mirror], dim=1)

        drawn = [torch.stack([orders(seed) for seed in self.seeds])]
        if self.augment:
            drawn.append(torch.stack([views(seed) for seed in self.seeds]))
        if self.epoch < 0:
            self.order, *rest = (one.to(device) for one in drawn)
            self.views = rest[0] if rest else self.order
        else:
            for held, one in zip((self.order, self.views), drawn, strict=False):
                held.copy_(one)
        self.epoch = epoch

    def indices(self, step: int | Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """The samples of minibatch number ``step``, shape ``(runs, size)``, and their places in
        the epoch ``(size,)``.

        A ``step`` on the device is one of the epoch that was begun last.
        """
        if isinstance(step, int):
            self.begin(step // self.per_epoch, device)
        where = torch.arange(self.size, device=device) + step % self.per_epoch * self.size
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
