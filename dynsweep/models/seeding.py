"""Random generators of a run, all from its one seed."""

from dynsweep.lazy import np, torch

# Streams: what a generator is for. Those that go on in time also take the epoch.
WEIGHTS, AUGMENT, ORDER, DIRECTION = 0, 2, 3, 4


def generator(seed: int, stream: int, epoch: int = 0) -> "torch.Generator":
    """A generator on the CPU for one purpose (``stream``) of the run with this seed.

    PyTorch asks for seeds whose bits are well mixed; users type 0, 1, 2. NumPy's
    ``SeedSequence`` mixes them, and makes the streams of one run independent. A fresh generator
    for every epoch leaves nothing to be saved when a training is continued.
    """
    mixed = np.random.SeedSequence([seed, stream, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) >> 1)  # within int64
