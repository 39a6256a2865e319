"""What a shell offers at a TAB: Hydra's words, without internal names, and values of settings."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from dynsweep.config import SETTINGS
from dynsweep.config.launchers import LAUNCHING
from dynsweep.config.schemas import GROUPS

# Typed as group=..., with what belongs to it; or not typed at all.
HIDDEN = {f"{group}.name" for group in GROUPS} | {n for n, one in SETTINGS.items() if one.follows}


@contextmanager
def completed() -> Iterator[None]:
    """In this block what Hydra prints are the words that it offers a shell: bash takes them from
    one line, fish from a line each, and both from lines."""
    with redirect_stdout(io.StringIO()) as offered:
        yield
    word = os.environ.get("COMP_LINE", "").rpartition(" ")[2]
    words = values(word) or [one for one in offered.getvalue().split() if not internal(one)]
    print("\n".join(words))


def values(word: str) -> list[str]:
    """All completions of ``name=...``, also of the last of several values; none where any value
    will do.

    >>> values("precision=float32,b")
    ['precision=float32,bfloat16']
    """
    name, sign, typed = word.partition("=")
    setting = (SETTINGS | LAUNCHING).get(name)
    if not sign or setting is None:
        return []
    before, comma, last = typed.rpartition(",")
    return [f"{name}={before}{comma}{one}" for one in setting.values if one.startswith(last)]


def internal(word: str) -> bool:
    """Whether a word is not for people: schemas, targets of Hydra's, names that follow."""
    name = word.lstrip("+~").partition("=")[0]
    parts = name.replace("/", ".").split(".")
    return name in HIDDEN or parts[:2] == ["hydra", "schema"] or any(p[:1] == "_" for p in parts)
