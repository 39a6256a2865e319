"""The command that made a directory, as Hydra recorded it there."""

import shlex
from pathlib import Path
from typing import Any

from dynsweep.config.secrets import without_secrets
from dynsweep.store.damage import Damaged
from dynsweep.store.files import SweepPaths
from dynsweep.store.sealed import read_checked


def recorded(directory: str | Path) -> dict[str, Any] | None:
    """The ``hydra`` part of the config of a sweep or of a single run; ``None`` if there is none.

    Raises:
        Damaged: it cannot be read.
    """
    import yaml

    paths = [SweepPaths(directory).multirun, Path(directory, ".hydra", "hydra.yaml")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None
    try:
        config = yaml.safe_load(read_checked(path) or "")["hydra"]
        words = [*(config["overrides"]["hydra"] or []), *(config["overrides"]["task"] or [])]
        "".join(words).encode()
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise Damaged(path, error if isinstance(error, OSError) else "is damaged") from None
    return {**config, "words": words, "multirun": path.name == "multirun.yaml"}


def config_dirs(config: dict[str, Any]) -> list[str]:
    """The folder that ``--config-dir`` named, if any, out of what :func:`recorded` gives."""
    sources = (config.get("runtime") or {}).get("config_sources") or []
    return [one["path"] for one in sources if one.get("provider") == "command-line"]


def command_line(directory: str | Path, here: bool = False) -> str | None:
    """What to type to go on in a directory, without secrets; ``None`` if nothing is recorded.
    ``here``: with its present path, not the one that was typed.

    Raises:
        Damaged: the record cannot be read.
    """
    config = recorded(directory)
    if config is None:
        return None
    words = config["words"]
    kept = [word for word in without_secrets(words) if not word.startswith("hydra.mode=")]
    multirun = ["-m"] * ("hydra.mode=MULTIRUN" in words)
    setting = "hydra.sweep.dir" if config["multirun"] else "hydra.run.dir"
    if here:
        kept = [word for word in kept if not word.startswith(f"{setting}=")]
    if not any(word.startswith(f"{setting}=") for word in kept):
        kept.append(f"{setting}={directory}")
    folders = [word for path in config_dirs(config) for word in ("--config-dir", path)]
    return shlex.join(["dynsweep", *multirun, *folders, *kept])
