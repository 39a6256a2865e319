"""Settings of Hydra whose names speak of a secret: left out of files that people pass on."""

import re
from collections.abc import Iterable
from typing import Any

SECRET = re.compile("token|password|passwd|secret|key|credential", re.IGNORECASE)
HIDDEN = "(left out)"


def without_secrets(words: Iterable[str]) -> list[str]:
    """A command line without overrides of ``hydra.*`` that name a secret."""
    return [
        word
        for word in words
        if not (word.lstrip("+~").startswith("hydra.") and SECRET.search(word))
    ]


def hidden(config: Any) -> Any:
    """The ``hydra`` part of a config, plain, with secrets taken out of its values and lists."""
    if isinstance(config, dict):
        secrets = {name for name in config if SECRET.search(str(name))}
        secrets -= {name for name in secrets if config[name] in (None, [], {})}
        return {name: HIDDEN if name in secrets else hidden(config[name]) for name in config}
    if isinstance(config, list):
        texts = [item for item in config if isinstance(item, str)]
        return without_secrets(texts) if len(texts) == len(config) else [*map(hidden, config)]
    return config
