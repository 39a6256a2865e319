"""The directory of a multirun, and Hydra's record of its command in there."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from dynsweep.config.secrets import hidden
from dynsweep.errors import ConfigError, SlurmError, StorageError
from dynsweep.store import SweepPaths
from dynsweep.store.files import make_folder
from dynsweep.store.foreign import ForeignFile, refuse_foreign
from dynsweep.store.sealed import write_checked


def make_sweep(directory: Path) -> None:
    """Make the directory if it is not there; raise :class:`ConfigError` if it cannot be."""
    try:
        make_folder(directory)
    except StorageError as error:
        reason = str(error).removeprefix(f"{directory}: ")
        raise ConfigError("hydra.sweep.dir", directory, reason) from None


def write_multirun(config: DictConfig, directory: Path) -> None:
    """Write ``multirun.yaml``, without secrets. A finished sweep that may not be written to has
    one; whether there is anything to train shows later."""
    refuse_foreign([SweepPaths(directory).multirun])
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    plain["hydra"] = hidden(plain.get("hydra"))
    try:
        write_checked(SweepPaths(directory).multirun, OmegaConf.to_yaml(OmegaConf.create(plain)))
    except StorageError as error:
        if not error.read_only:
            raise


@contextmanager
def no_trace_of_refusals(directory: Path) -> Iterator[None]:
    """Where a command is refused, folders that it made and that hold nothing else go again, and
    the record of the command before comes back."""
    file = SweepPaths(directory).multirun
    try:
        new = [folder for folder in (directory, *directory.parents) if not folder.exists()]
        before = file.read_bytes() if file.is_file() else None
    except OSError as error:  # such as a name that is too long
        raise ConfigError("hydra.sweep.dir", directory, str(error.strerror)) from None
    try:
        yield
    except (ConfigError, SlurmError, ForeignFile):
        with suppress(OSError):  # something else is in there
            if before is not None:
                if file.read_bytes() != before:
                    file.write_bytes(before)
            elif [path.name for path in directory.iterdir()] == [file.name]:
                file.unlink()
            for folder in new:
                folder.rmdir()
        raise
