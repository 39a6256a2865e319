"""What Weights & Biases wrote offline: its records, in the log format of LevelDB."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7


def records(path: Path) -> Iterator[Any]:
    """The records of a file ``run-ID.wandb``, as its own package defines them."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # too short for a header
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # the whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def read(path: Path) -> dict[str, Any]:
    """``run``: its record; ``config``; ``curves``: values by step; ``exit``: its status."""
    found: dict[str, Any] = {"config": {}, "curves": {}}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = record.run
            for item in record.run.config.update:
                found["config"][item.key or ".".join(item.nested_key)] = json.loads(
                    item.value_json
                )
        elif kind == "history":
            values = {i.key or ".".join(i.nested_key): i.value_json for i in record.history.item}
            step = record.history.step.num
            for name, text in values.items():
                if not name.startswith("_"):
                    assert step not in found["curves"].setdefault(name, {}), "logged twice"
                    found["curves"][name][step] = json.loads(text)
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found
