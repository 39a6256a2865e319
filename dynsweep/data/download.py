"""Fetch the published archive of CIFAR-10's binary version, and unpack it safely.

Nothing that is not complete ever bears the name of a data file: the archive is fetched under a
temporary name and known by its checksum, its members are unpacked in a temporary folder, which
takes its place when all have the published size.
"""

import os
import tarfile
import tempfile
from pathlib import Path

from dynsweep.errors import ConfigError

RECORD = 1 + 3 * 32 * 32  # bytes
RECORDS = 10_000  # of a published file
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
FOLDER = "cifar-10-batches-bin"  # of the published archive
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CHECKSUM = "md5:c32a1d4ab5d03f1284b67883e8d87530"  # published beside the archive
ARCHIVE = "cifar-10-binary.tar.gz"


def download(
    root: Path, url: str = URL, checksum: str = CHECKSUM, size: int = RECORD * RECORDS
) -> Path:
    """Put the six files into ``root`` and return the folder they are in.

    A whole archive that lies there from an earlier attempt is not fetched again. Each of the six
    files has ``size`` bytes.

    Raises:
        ConfigError: the download fails, or is not the published archive.
    """
    import pooch

    try:
        root.mkdir(parents=True, exist_ok=True)
        archive = pooch.retrieve(url, checksum, ARCHIVE, root, progressbar=True)
        unpack(Path(archive), root / FOLDER, size)
    except (OSError, ValueError, EOFError, tarfile.TarError) as error:
        # requests' errors are OSErrors; pooch tells of a wrong checksum by a ValueError.
        reason = " ".join(str(error).split())
        allowed = f"downloading {url} failed: {type(error).__name__}: {reason}"
        raise ConfigError("dataset.root", root, allowed) from None
    Path(archive).unlink()
    return root / FOLDER


def unpack(archive: Path, folder: Path, size: int) -> None:
    """The six files of the archive into ``folder``, nothing else and nowhere else."""
    wanted = [f"{FOLDER}/{name}" for name in (*TRAIN, TEST)]
    with (
        tempfile.TemporaryDirectory(dir=archive.parent, prefix="unpacking-") as place,
        tarfile.open(archive, "r:gz") as tar,
    ):
        members = {member.name: member for member in tar if member.isreg()}
        if missing := [name for name in wanted if name not in members]:
            raise ValueError(f"the archive lacks {', '.join(missing)}")
        for member in (members[name] for name in wanted):
            if member.size != size:
                raise ValueError(f"{member.name} has {member.size:,} bytes, not {size:,}")
            tar.extract(member, place, filter="data")
        os.rename(Path(place, FOLDER), folder)  # all six at once
