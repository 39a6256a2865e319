"""The settings on ``dynsweep --help``: what each means, its range, and the value it has."""

import json
import textwrap
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dynsweep.cli.completion import HIDDEN
from dynsweep.config import Setting
from dynsweep.config.run import settings_of
from dynsweep.own import is_argument
from dynsweep.settings import flatten

NAMES, WIDTH = 38, 100  # columns


def settings_help(config: DictConfig) -> str:
    """A line for each setting of a composed config; ``$`` doubled, for Hydra's template."""
    plain: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    )
    flat = flatten(plain)
    declarations = settings_of(flat.get("dataset.name"), flat.get("model.name"))
    lines = []
    for name, value in flat.items():
        own = is_argument(name)  # of a callable from outside
        if name in HIDDEN or (
            not own and (name not in declarations or declarations[name].follows)
        ):
            continue
        shown = f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        # A long name has its line to itself.
        lead = f"{shown:{NAMES}}" if len(shown) < NAMES else f"{shown}\n{'':{NAMES}}"
        if own:
            lines.append(shown)
            continue
        allowed = _allowed(declarations[name])
        words = declarations[name].help + (f" ({allowed})" if allowed else "")
        rest = textwrap.wrap(words, WIDTH - NAMES, break_on_hyphens=False)
        lines.append(lead + f"\n{'':{NAMES}}".join(rest))
    return "\n".join(lines).replace("$", "$$")


def _allowed(setting: Setting) -> str:
    """The range in few words; empty where the value shows what may stand there."""
    if setting.choices:
        return " | ".join(setting.choices)
    words = setting.allowed
    for start in ("must be ", "must lie ", "a finite number, ", "a finite number "):
        words = words.removeprefix(start)
    kind = "whole" if setting.whole else ""
    return "true or false" if setting.kind is bool else ", ".join(filter(None, [kind, words]))
