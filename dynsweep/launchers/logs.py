"""Logging of one job after the other, without configuring Python's logging for each anew."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from hydra.core.utils import configure_log

if TYPE_CHECKING:
    from dynsweep.launchers.shapes import Composed


class JobLogs:
    """Gives each job the logging that its ``hydra.job_logging`` asks for.

    Hydra configures logging twice per job. For the usual configuration (handlers of the root
    logger that write to streams and files) it is enough to reopen the files; anything else is
    configured by Hydra for every job.
    """

    def __init__(self) -> None:
        self._state: tuple[Any, ...] | None = None

    def start(self, job: Composed) -> None:
        """Configure logging for a job."""
        files = job.shape.log_files(job)
        root = logging.getLogger()
        if files is None or self._state != _state(root):
            job.shape.point_at(job)
            config = job.shape.config
            configure_log(config.hydra.job_logging, config.hydra.verbose)
            self._state = None if files is None else _state(root)
            return
        handlers = [h for h in root.handlers if isinstance(h, logging.FileHandler)]
        for handler, file in zip(handlers, files, strict=True):
            _reopen(handler, file)


def _state(root: logging.Logger) -> tuple[Any, ...]:
    """What a task may have changed since; a changed state is configured anew by Hydra."""
    return (*root.handlers, root.level, sys.stdout, sys.stderr)


def _reopen(handler: logging.FileHandler, file: str) -> None:
    handler.acquire()
    try:
        handler.flush()
        if handler.stream is not None:
            handler.stream.close()
        handler.baseFilename = os.path.abspath(file)
        handler.stream = handler._open()
    finally:
        handler.release()
