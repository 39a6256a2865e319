"""The ``dynsweep`` command: a Hydra app, with its errors in one line and figures at the end."""

import logging
import os
import shlex
import sys
from contextlib import nullcontext

import hydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dynsweep import __version__
from dynsweep.cli.completion import completed
from dynsweep.cli.hydra_errors import one_line
from dynsweep.cli.settings_help import settings_help
from dynsweep.config import register_schemas
from dynsweep.config.words import understood
from dynsweep.errors import (
    ConfigError,
    DeviceLost,
    DynsweepError,
    StorageError,
    SweepFailed,
    system_reason,
)
from dynsweep.launchers import register
from dynsweep.launchers.private import get_args
from dynsweep.store.foreign import ForeignFile
from dynsweep.sweep.task import Stop, Task

BAD_SETTING, FAILED_RUNS = 2, 1
# Hydra's words on options that exclude or need each other, such as -m and --cfg.
OPTIONS = ("Only one of --", "The --resolve flag", "Expecting one subcommand", "No completion")


def main() -> None:
    """Run the app. Exit status: 0, 1 where runs failed or could not be written, 2 for a bad
    setting, 130 on Ctrl-C, 143 on SIGTERM."""
    if "--version" in sys.argv[1:]:
        print(f"dynsweep {__version__} (Hydra {hydra.__version__})")
        return
    traces = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra then raises what it would print over several lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.raiseExceptions = False  # a log on a full disk is no reason for a traceback
    register()
    register_schemas()
    task = Task()
    task.signals.catch()
    # For ${dynsweep.settings:} in the template of --help.
    OmegaConf.register_new_resolver(
        "dynsweep.settings", lambda *, _root_: settings_help(_root_), replace=True
    )
    app = hydra.main(version_base="1.3", config_path="pkg://dynsweep.conf", config_name="config")
    status, message, report, interrupted = 0, "", True, False
    try:
        sys.argv[1:] = understood(sys.argv[1:])
        if any(word.lower() == "dry_run=true" for word in sys.argv):
            sys.argv.append("hydra.output_subdir=null")  # nothing is recorded
        with completed() if any(word.startswith("query=") for word in sys.argv) else nullcontext():
            app(task)()
        if task.failed:  # Hydra's sweepers for optimisation go on without these
            count = f"{len(task.failed)} of {len(task.runs)} runs failed"
            raise SweepFailed(f"{count}; the first: {task.failed[0]}")
    except KeyboardInterrupt:
        interrupted = True
        message = f"Interrupted. {_go_on(task)}"
    except Stop as stop:
        status = int(stop.code or 0)
        message = f"dynsweep: error: {stop.reason}"
        if isinstance(stop.reason, ForeignFile):
            report = False
        elif isinstance(stop.reason, StorageError | DeviceLost):
            message, report = f"{message}. {_go_on(task)}", False
    except ForeignFile as error:
        status, report = BAD_SETTING, False
        message = f"dynsweep: error: {error}"
    except (SweepFailed, StorageError, DeviceLost) as error:
        status, report = FAILED_RUNS, isinstance(error, SweepFailed)
        message = f"dynsweep: error: {error}. {_go_on(task)}"
    except (DynsweepError, HydraException, OmegaConfBaseException) as error:
        if traces:
            raise
        status, report = BAD_SETTING, False
        message = f"dynsweep: error: {_explain(error)}"
    except OSError as error:
        if traces or isinstance(error, BrokenPipeError):
            raise
        status, report = FAILED_RUNS, False
        message = f"dynsweep: error: {system_reason(error)}. {_go_on(task)}"
    except ValueError as error:
        if not traces and str(error).startswith(OPTIONS):
            status, report = BAD_SETTING, False
            message = f"dynsweep: error: {' '.join(str(error).split())}"
        elif not traces and str(error).startswith("No trials are completed"):
            # Optuna's, when it looks for the best of them.
            status = FAILED_RUNS
            why = f"; the first: {task.failed[0]}" if task.failed else ""
            message = f"dynsweep: error: no run has a finite objective{why}. {_go_on(task)}"
        else:
            raise
    if report and not task.detached:  # detached, it returns at once
        try:
            with task.signals.raising():
                _report(task)
        except KeyboardInterrupt:
            interrupted = True
            message = f"Interrupted. {_go_on(task, 'Tables and figures are incomplete. ')}"
        except StorageError as error:
            status = status if error.read_only else status or FAILED_RUNS
            message = f"dynsweep: {_tables_elsewhere(task, error)}\n{message}".rstrip()
    sys.stdout.flush()
    for ending in task.endings:
        if warning := ending():
            again = _again(task)
            print(f"dynsweep: warning: {warning}. To send them:\n  {again}", file=sys.stderr)
    if message:
        print(message, file=sys.stderr)
    if interrupted:
        task.signals.end()
    task.signals.done()
    sys.exit(status)


def _overrides() -> list[str]:
    """The command line without options and their values, such as ``--cfg job``."""
    return [str(override) for override in get_args().overrides]


def _explain(error: Exception) -> str:
    """One line; where Hydra only says that values are ambiguous, the error behind that.

    Without ``-m`` Hydra finds out by a trial composition whether a preset asks for a multirun.
    If that fails it forgets why and complains of several values: compose again to learn it.
    """
    text = str(error)
    if isinstance(error, HydraException) and ("Ambiguous value" in text or "--multirun" in text):
        from hydra import initialize_config_module
        from hydra.core.global_hydra import GlobalHydra
        from hydra.types import RunMode

        with initialize_config_module("dynsweep.conf", version_base="1.3"):
            state = GlobalHydra.instance().hydra
            assert state is not None
            try:
                state.compose_config("config", _overrides(), run_mode=RunMode.MULTIRUN)
            except (HydraException, OmegaConfBaseException) as cause:
                error = cause
    if isinstance(error.__cause__, ConfigError):
        error = error.__cause__  # of a callback that Hydra could not make
    return str(error) if isinstance(error, DynsweepError) else one_line(error, _overrides())


def _go_on(task: Task, safe: str = "") -> str:
    """What is safe, and the command that trains what is missing."""
    if not task.directories:
        return "Nothing was recorded."
    from dynsweep.store import latest

    count = len(latest(task.directories[-1]))
    runs = f"{count:,} run{'s are' if count != 1 else ' is'} recorded and safe. " if count else ""
    return f"{runs}{safe}To go on from here:\n  {_again(task)}"


def _again(task: Task) -> str:
    """The same command, for the directory in which it recorded runs."""
    setting = "hydra.sweep.dir" if task.multirun else "hydra.run.dir"
    kept = [argument for argument in sys.argv[1:] if not argument.startswith(f"{setting}=")]
    return shlex.join(["dynsweep", *kept, f"{setting}={task.directories[-1]}"])


def _tables_elsewhere(task: Task, error: StorageError) -> str:
    directory = task.directories[-1]
    command = shlex.join(["dynsweep-aggregate", str(directory), "--output", "OTHER"])
    return (
        f"tables and figures not written: {error}. The records are safe; elsewhere:\n  {command}"
    )


def _report(task: Task) -> None:
    """Tables and figures of every directory that now holds records."""
    from dynsweep.store import SweepPaths

    for directory in task.directories:
        if SweepPaths(directory).records():
            from dynsweep.cli.aggregate import aggregate

            numbers = {run.settings.identity(): run.number for run in task.runs}
            print(aggregate([directory], html=task.report, numbers=numbers).text())
