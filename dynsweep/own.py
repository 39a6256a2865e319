"""Python callables from outside this package, which a config names: found, and known by their
source."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dynsweep.errors import ConfigError


class Settings(dict[str, Any]):
    """The arguments that a config has for a callable: a value, never changed in place."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True, default=str))


NONE = Settings()


def is_argument(name: str) -> bool:
    """Whether a dotted setting is an argument of a callable, which no declaration knows."""
    return name.split(".")[1:2] == ["settings"]


@dataclass(frozen=True)
class Code:
    """A callable.

    Attributes:
        call: it.
        digest: of the file that it stands in.
        folder: from which its module is imported.
    """

    call: Callable[..., Any]
    digest: str
    folder: str


def along(sources: Iterable[Any]) -> None:
    """Let modules be imported that lie beside configs: in the ``file`` folders of Hydra's sources.

    They come last: none takes the place of a package.
    """
    for source in sources:
        if source.schema == "file":
            _append(str(Path(source.path).absolute()))


def _append(folder: str) -> None:
    if folder and folder not in sys.path and Path(folder).is_dir():
        sys.path.append(folder)
        importlib.invalidate_caches()


_digests: dict[str, str] = {}  # of the modules' files, as they were imported


def find(setting: str, target: str, folder: str = "", digest: str = "") -> Code:
    """The callable ``target``, such as ``moons.two_moons``; its module is loaded again if the file
    has changed since.

    Args:
        setting: that names it.
        folder: where its module was found before, of a recorded run.
        digest: of its source at that time.

    Raises:
        ConfigError: there is no such module or callable, it raises, or is another one by now.
    """
    name, _, last = target.rpartition(".")
    if not name or not last.isidentifier():
        raise ConfigError(setting, target, "must name a callable, as in module.function")
    _append(folder)
    module = _module(setting, target, name)
    call = getattr(module, last, None)
    if not callable(call):
        own = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        allowed = (
            f"the module {name} has no callable {last}; it has {', '.join(own[:12]) or 'none'}"
        )
        raise ConfigError(setting, target, allowed)
    try:
        file = Path(inspect.getsourcefile(inspect.unwrap(call)) or "")
        now = _digest(file)
    except (TypeError, OSError):
        raise ConfigError(setting, target, "has no source file to be known by") from None
    if digest and now != digest:
        raise ConfigError(setting, target, f"{file} has changed since: its source was {digest}")
    origin = Path(str(module.__file__))
    above = len(name.split(".")) - (origin.name != "__init__.py")
    return Code(call, now, str(origin.parents[above]))


def _module(setting: str, target: str, name: str) -> ModuleType:
    try:
        module = sys.modules.get(name)
        if module is None:
            module = importlib.import_module(name)
        file = getattr(module, "__file__", None)
        if file:
            digest = _digest(Path(file))
            if _digests.get(name, digest) != digest:
                module = importlib.reload(module)
            _digests[name] = digest
        return module
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            allowed = (
                f"no module {error.name}; it is looked for beside the config, then PYTHONPATH"
            )
            raise ConfigError(setting, target, allowed) from None
        raise ConfigError(setting, target, raised(error)) from None
    except Exception as error:
        raise ConfigError(setting, target, raised(error)) from None


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def raised(error: Exception) -> str:
    """What code from outside raised, and where, in a line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if not isinstance(error, SyntaxError):  # which says it itself
        ours = Path(__file__).parent
        frames = traceback.extract_tb(error.__traceback__)
        files = [(Path(one.filename), one.lineno) for one in frames]
        for file, line in [one for one in files if ours not in one[0].parents][-1:]:
            text += f" ({file.name}, line {line})"
    return f"raised {text}"
