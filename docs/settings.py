"""Writes docs/settings.md, the table of all settings, from their declarations.

python docs/settings.py
"""

from __future__ import annotations

import json
from pathlib import Path

from dynsweep.config import DATASETS, MODELS, SETTINGS, Setting
from dynsweep.settings import declared

GROUPS = ("dataset", "model")
HEAD = """\
# All settings

Made from their declarations by `python docs/settings.py`. A setting is typed as `name=value`; in
tables it has its short name, where there is one. What does not decide the result is marked
*place*: runs that differ only in it are one run. At amplitude 1, settings marked *dynamical* mean
nothing.

| setting | meaning | allowed | default | |
|---|---|---|---|---|
"""


def row(setting: Setting, groups: str = "") -> str:
    default = setting.default
    shown = default if isinstance(default, str) else json.dumps(default)
    words = [setting.short and setting.short != setting.name and f"`{setting.short}`", groups]
    words += [not setting.identity and "*place*", setting.dynamical and "*dynamical*"]
    allowed = setting.allowed.removeprefix("must be ").removeprefix("must lie ")
    notes = ", ".join(word for word in words if word)
    return f"| `{setting.name}` | {setting.help} | {allowed} | {shown} | {notes} |\n"


def text() -> str:
    """The page."""
    rows = [
        row(setting, f"`{group}={name}`")
        for group, kinds in (("dataset", DATASETS), ("model", MODELS))
        for name, kind in kinds.items()
        for setting in declared(kind, f"{group}.").values()
        if not setting.name.endswith(".name") and not setting.follows
    ]
    rows += [
        row(one)
        for name, one in SETTINGS.items()
        if name.split(".")[0] not in GROUPS and not one.follows
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(text())
