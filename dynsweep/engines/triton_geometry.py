"""How the Triton engine deals a run of the one-hidden-layer model to the threads of a GPU."""

from dataclasses import asdict, dataclass

REGISTERS = 255  # 32-bit registers of a thread
MOST_WARPS = 8  # per run; at 255 registers a multiprocessor holds no more


@dataclass(frozen=True)
class Geometry:
    """How a run is dealt to threads: the compile-time constants of the kernels.

    A run has ``unit_warps`` warps; a warp works on ``samples`` samples at a time, with ``lanes``
    threads for each; a thread holds ``units`` hidden units.
    """

    units: int
    unit_warps: int
    lanes: int
    samples: int

    @property
    def width(self) -> int:
        """Hidden units that there is room for; those above the model's width stay 0."""
        return self.units * self.unit_warps * self.lanes

    def constants(self) -> dict[str, int]:
        return {name.upper(): value for name, value in asdict(self).items()}


def most_units(inputs: int, classes: int, precision: str) -> int:
    """Hidden units whose weights, gradients and activation fit into a thread's registers."""
    words = 1 if precision == "float32" else 2
    others = 32 + 4 * classes * words  # addresses; logits, their gradients, output biases
    return (REGISTERS - others) // (words * (2 * (inputs + 1 + classes) + 1))


def geometry(width: int, inputs: int, classes: int, precision: str) -> Geometry | None:
    """The fewest threads whose registers hold ``width`` hidden units; ``None``: too many."""
    most = most_units(inputs, classes, precision)
    threads = 8  # with fewer, the weights would be copied to more than 4 samples of a warp
    while threads * most < width:
        threads *= 2
        if most < 1 or threads > 32 * MOST_WARPS:
            return None
    lanes = min(threads, 32)
    return Geometry(-(-width // threads), threads // lanes, lanes, 32 // lanes)
