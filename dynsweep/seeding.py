"""Random generators of a run, all from its one seed."""

from __future__ import annotations

import numpy as np
import torch

WEIGHTS = 0  # initial weights


def generator(seed: int, stream: int) -> torch.Generator:
    """A generator on the CPU for one purpose (``stream``) of the run with this seed.

    PyTorch asks for seeds whose bits are well mixed; users type 0, 1, 2. NumPy's
    ``SeedSequence`` mixes them, and makes the streams of one run independent.
    """
    mixed = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) >> 1)  # within int64
