"""The ``dynsweep`` command: a Hydra app, with its errors in one line and figures at the end."""

import os
import shlex
import sys

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from dynsweep.cli.hydra_errors import one_line
from dynsweep.config import register_schemas
from dynsweep.errors import ConfigError, DynsweepError, SweepFailed
from dynsweep.launchers import register
from dynsweep.launchers.private import get_args
from dynsweep.sweep.task import Stop, Task

BAD_SETTING, FAILED_RUNS, INTERRUPTED = 2, 1, 130


def main() -> None:
    """Run the app. Exit status: 0, 1 where runs failed, 2 for a bad setting, 130 on Ctrl-C."""
    traces = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra then raises what it would print over several lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    register()
    register_schemas()
    task = Task()
    app = hydra.main(version_base="1.3", config_path="pkg://dynsweep.conf", config_name="config")
    status, message = 0, ""
    try:
        app(task)()
    except KeyboardInterrupt:
        status = INTERRUPTED
        message = f"Interrupted. {_go_on(task)}"
    except Stop as stop:
        status = int(stop.code or 0)
        message = f"dynsweep: error: {stop.reason}"
    except SweepFailed as error:
        status = FAILED_RUNS
        message = f"dynsweep: error: {error}. {_go_on(task)}"
    except (DynsweepError, HydraException, OmegaConfBaseException) as error:
        if traces:
            raise
        status = BAD_SETTING
        message = f"dynsweep: error: {_explain(error)}"
    except ValueError as error:
        if traces or not str(error).startswith("Only one of --"):
            raise
        # Hydra's word on options that exclude each other, such as -m and --cfg.
        status = BAD_SETTING
        message = f"dynsweep: error: {error}"
    if status != BAD_SETTING and not task.detached:  # detached, it returns at once
        _report(task)
    if message:
        print(message, file=sys.stderr)
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


def _go_on(task: Task) -> str:
    """The command that trains what is missing."""
    if not task.directories:
        return "Nothing was recorded."
    directory = task.directories[-1]
    setting = "hydra.sweep.dir" if task.multirun else "hydra.run.dir"
    kept = [argument for argument in sys.argv[1:] if not argument.startswith(f"{setting}=")]
    command = shlex.join(["dynsweep", *kept, f"{setting}={directory}"])
    return f"To go on from here:\n  {command}"


def _report(task: Task) -> None:
    """Tables and figures of every directory that now holds records."""
    from dynsweep.cli.aggregate import aggregate
    from dynsweep.store import SweepPaths

    for directory in task.directories:
        if SweepPaths(directory).records():
            print(aggregate([directory], html=task.report).text())
