"""How good a run's predictions are. To add a metric: its function, a line in ``METRICS``."""

from collections.abc import Callable
from dataclasses import dataclass

from dynsweep.lazy import Tensor
from dynsweep.loss import sample_losses


@dataclass(frozen=True)
class Metric:
    """A mean over samples.

    Attributes:
        words: for people, as in "training accuracy".
        values: of every sample, shape ``(runs, samples)``, from logits
            ``(runs, samples, classes)`` and labels ``(samples,)``.
    """

    words: str
    values: Callable[[Tensor, Tensor], Tensor]


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the largest logit is the label's; a sample whose logits are not finite is wrong."""
    right: Tensor = (logits.argmax(dim=-1) == labels) & logits.isfinite().all(dim=-1)
    return right


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", accuracy),
    "loss": Metric("loss", sample_losses),  # the run's own, unweighted
}
PARTS = {"train": "training", "validation": "validation"}

# Columns of records and tables, with their words.
COLUMNS: dict[str, str] = {
    f"{part}_{name}": f"{words} {metric.words}"
    for name, metric in METRICS.items()
    for part, words in PARTS.items()
}
