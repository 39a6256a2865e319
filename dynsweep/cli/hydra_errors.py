"""Hydra's and OmegaConf's errors, of several lines, as one line of ours."""

import re

from hydra.errors import OverrideParseException

from dynsweep.config.words import unknown

# OmegaConf's words for the type it wanted, and ours.
_TYPES = {
    "could not be converted to Integer": "must be a whole number",
    "could not be converted to Float": "must be a number",
    "is not a valid bool": "must be true or false",
    "is not Optional": "must have a value",
    "is not a ListConfig": "must be a list, as in [a,b]",
    "Union[float, str]": "must be a part between 0 and 1, or a file",
}
# What is no longer there, and what does its work.
_REPLACED = {"hydra/launcher=fused_local": "hydra.launcher.workers=N of the default launcher"}
# What other packages bring, by the extra that installs them.
_EXTRAS = {"hydra/sweeper=optuna": "optuna"}


def one_line(error: BaseException, overrides: list[str]) -> str:
    """What Hydra raised, in the user's own words from the command line, ``overrides``."""
    text, cause = str(error), error.__cause__
    if found := re.search(r"Could not find '(\S+)/([^/']*)'", text):
        group, option = found.groups()
        options = re.findall(r"^\t(\w+)$", text, re.MULTILINE)
        if instead := _REPLACED.get(f"{group}={option}"):
            return f"{group}={option}: no longer there; take {instead}"
        if extra := _EXTRAS.get(f"{group}={option}"):
            return f"{group}={option}: needs pip install 'dynsweep[{extra}]'"
        return f"{group}={option}: must be one of {', '.join(options)}"
    if found := re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text):
        key = found[1]
        return f"{_typed(key, overrides)}: {_unknown(key, cause)}"
    if found := re.search(r"Ambiguous value for argument '(.+)'|Sweep parameters '(.+)'", text):
        return f"{found[1] or found[2]}: several values; add -m to sweep over them"
    if isinstance(error, OverrideParseException):
        if "empty choice" in text:
            return f"{error.override}: a grid with no points; give at least one value"
        found = re.search(r"Error parsing override '.*'\n(.*)", text)
        if found and "=" in error.override:
            return f"{error.override}: {found[1]}"
        return f"{error.override}: {_misspelt(error.override)}"
    if found := re.search(r"Error merging override (.*)", text):
        return f"{found[1]}: {_wanted(str(cause))}"
    return " ".join(f"{text} {cause or ''}".split())


def _typed(key: str, overrides: list[str]) -> str:
    """The override as the user typed it."""
    for override in overrides:
        if override.lstrip("+~").partition("=")[0] == key:
            return override
    return key


def _unknown(key: str, cause: BaseException | None) -> str:
    known = sorted(str(name) for name in getattr(cause, "parent_node", None) or ())
    text = unknown(key, known)
    if known or "did you mean" in text:
        return text
    return f"nothing to replace here; to add it, type +{key}=..."


def _misspelt(override: str) -> str:
    """What Hydra's grammar has against an override."""
    _, sign, value = override.partition("=")
    if not sign:
        return "not understood; type name=value"
    if value.rstrip().endswith(","):
        return "a value is missing after the comma"
    if any(value.count(left) > value.count(right) for left, right in ("()", "[]", "{}")):
        return "a bracket is not closed"
    return "a value that is not understood; one with spaces or brackets needs quotes"


def _wanted(text: str) -> str:
    for words, ours in _TYPES.items():
        if words in text:
            return ours
    return text.partition("\n")[0]
