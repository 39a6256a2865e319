"""What every dataset is: settings, and the arrays that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dynsweep.settings import setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Dataset:
    """A training and a validation set, the same for every engine.

    Inputs have the shape ``(samples, ...)``, labels ``(samples,)`` in int64. Points are float64.
    Images are uint8, ``(samples, channels, height, width)``, for which ``mean`` and ``std`` are
    each channel's over the training set. ``names`` are those of the classes, and ``axes`` those of
    the inputs, where they have some.
    """

    train_inputs: NDArray[Any]
    train_labels: NDArray[np.int64]
    validation_inputs: NDArray[Any]
    validation_labels: NDArray[np.int64]
    classes: int
    mean: NDArray[np.float64] | None = None
    std: NDArray[np.float64] | None = None
    names: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train_inputs.shape[1:])


@dataclass(unsafe_hash=True)
class DatasetConfig:
    """Settings of a dataset; the concrete ones are listed in :data:`dynsweep.data.DATASETS`."""

    name: str = setting("???", "the data", short="dataset")

    def resolved(self) -> DatasetConfig:
        """With the settings that follow from files or code which others of them name.

        Raises:
            ConfigError: these are not there, or not what they should be.
        """
        return self

    def memory(self) -> int:
        """Bytes that loading it takes, about; 0 where that is nothing to speak of."""
        return 0

    def load(self) -> Dataset:
        """The dataset that these settings describe; equal settings give equal numbers.

        Raises:
            ConfigError: files are missing or are not what their names say.
        """
        raise NotImplementedError
