"""Which files a job's logging configuration opens."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

_PLAIN_HANDLERS = {"logging.StreamHandler", "logging.FileHandler"}
_PLAIN_KEYS = {"version", "formatters", "handlers", "root", "disable_existing_loggers"}


def log_files(config: DictConfig) -> list[str] | None:
    """The files that the root logger's handlers open for a job, in the handlers' order.

    None if the logging configuration is more than handlers of the root logger.
    """
    if config.hydra.verbose is not False or config.hydra.job_logging is None:
        return None
    logging_config: Any = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    handlers = logging_config.get("handlers", {})
    root = logging_config.get("root")
    if not (
        _PLAIN_KEYS.issuperset(logging_config)
        and root
        and set(root) <= {"level", "handlers"}
        and logging_config.get("disable_existing_loggers") is False
        and sorted(handlers) == sorted(root.get("handlers", []))
        and all(_plain(handler) for handler in handlers.values())
    ):
        return None
    used = [handlers[name] for name in root["handlers"]]
    return [handler["filename"] for handler in used if "filename" in handler]


def _plain(handler: dict[str, Any]) -> bool:
    if handler.get("class") not in _PLAIN_HANDLERS:
        return False
    return "delay" not in handler and handler.get("mode", "a") == "a"
