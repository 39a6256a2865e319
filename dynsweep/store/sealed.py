"""Texts with a checksum in front: damage is found, and never read as something else.

Lines and files of JSON begin ``{"crc":"1a2b3c4d", ...}``; other texts with a line of comment.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dynsweep.store.damage import Damaged
from dynsweep.store.files import replacing

SEAL = b'{"crc":"'
CHECKED = "# crc32 of what follows: "
BODY = len(SEAL) + len('1a2b3c4d",')  # where what the checksum is of begins


def seal(value: Mapping[str, Any]) -> str:
    """One line, without its end; the value has at least one item."""
    body = json.dumps(value, separators=(",", ":"))[1:]
    return f'{SEAL.decode()}{zlib.crc32(body.encode()):08x}",{body}'


def unseal(text: bytes) -> dict[str, Any] | None:
    """What was sealed, with its ``crc``; ``None`` if it is not as it was."""
    if not text.startswith(SEAL) or text[BODY - 10 : BODY] != b'%08x",' % zlib.crc32(text[BODY:]):
        return None
    value: dict[str, Any] = json.loads(text)
    return value


def intact(text: bytes) -> Iterator[dict[str, Any]]:
    """What is whole in a line that is not: two lines that lost the end between them, or one that
    was written over in front or behind."""
    start = text.find(SEAL)
    while start >= 0:
        following = text.find(SEAL, start + 1)
        end = len(text) if following < 0 else following
        for _ in range(4):  # something behind may end in a brace too
            end = text.rfind(b"}", start, end)
            if end < 0:
                break
            if (value := unseal(text[start : end + 1])) is not None:
                yield value
                break
        start = following


def plain(text: bytes) -> dict[str, Any] | None:
    """A JSON object without a checksum, as versions before wrote it; ``None`` if it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """The whole file, sealed, or the one that was there before."""
    with replacing(path) as partial:
        partial.write_text(seal(value))


def read_json(path: Path) -> dict[str, Any]:
    """What :func:`write_json` wrote, or a version before it, unsealed.

    Raises:
        Damaged: the file is missing or damaged.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Damaged(path, error) from None
    value = unseal(text) if b'"crc"' in text else plain(text)
    if value is None:
        raise Damaged(path, "is damaged")
    value.pop("crc", None)
    return value


def write_checked(path: Path, text: str) -> None:
    """Write a text whose first line is a comment with a checksum of the others."""
    with replacing(path) as partial:
        partial.write_text(f"{CHECKED}{zlib.crc32(text.encode()):08x}\n{text}", encoding="utf-8")


def read_checked(path: Path) -> str | None:
    """What :func:`write_checked` wrote, or another text; ``None`` where it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
    except ValueError:
        return None
    first, _, rest = text.partition("\n")
    if not first.startswith("# "):
        return text
    return rest if first == f"{CHECKED}{zlib.crc32(rest.encode()):08x}" else None
