"""What is recorded along a run, and how often; it does not change the run."""

from dataclasses import dataclass, field

from dynsweep.settings import setting


@dataclass(unsafe_hash=True)
class SharpnessConfig:
    """The largest eigenvalues of the Hessian."""

    every: int = setting(0, "steps between two measurements; 0: never", least=0, place=True)
    of: str = setting(
        "loss",
        "of F(t), of the static loss, or of both",
        choices=("loss", "static", "both"),
        place=True,
    )
    count: int = setting(1, "how many eigenvalues", least=1, place=True)
    tolerance: float = setting(
        1e-3, "Lanczos goes on until a value is known to this part of itself", above=0, place=True
    )
    order: int | None = setting(
        None, "or takes just so many products (the authors' notebook: 10)", least=1, place=True
    )
    samples: int | None = setting(
        None, "on the first so many training samples; null: all", least=1, place=True
    )


@dataclass(unsafe_hash=True)
class NTKConfig:
    """The largest eigenvalues of the empirical neural tangent kernel."""

    every: int = setting(0, "steps between two measurements; 0: never", least=0, place=True)
    samples: int = setting(50, "training samples that the kernel is of", least=1, place=True)
    choice: str = setting(
        "balanced",
        "as many samples of each class; or the first, as in the authors' notebook",
        choices=("first", "balanced"),
        place=True,
    )
    count: int = setting(1, "how many eigenvalues", least=1, place=True)


@dataclass(unsafe_hash=True)
class ObserveConfig:
    """Each quantity has its own interval in steps."""

    records: int = setting(
        0,
        "records of loss and accuracy, from step 0 to the end",
        least=0,
        place=True,
    )
    spacing: str = setting(
        "linear", "how the steps of the records are spaced", choices=("linear", "log"), place=True
    )
    loss_every: int = setting(
        0, "steps between records of G(t), F(t) and F(t) - F(t-1); 0: never", least=0, place=True
    )
    class_accuracy_every: int = setting(
        0,
        "steps between records of classes' training accuracy; 0: never",
        least=0,
        place=True,
    )
    snapshots_every: int = setting(
        0, "steps between records of all weights; 0: never", least=0, place=True
    )
    sharpness: SharpnessConfig = field(default_factory=SharpnessConfig)
    ntk: NTKConfig = field(default_factory=NTKConfig)
