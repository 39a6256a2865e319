"""What was typed, where settings exclude each other: never silently something else."""

from collections.abc import Sequence

from dynsweep.config.run import Run, RunConfig
from dynsweep.errors import ConfigError
from dynsweep.settings import replaced


def meant(run: Run, both: bool = False) -> Run:
    """The run with settings as they were typed.

    ``steps`` that is typed wins over the ``epochs`` of a preset; ``loss=static`` has amplitude 1.
    In a sweep over ``both`` losses the amplitudes are those of the dynamical one, and the static
    run, which several jobs then ask for, is one.

    Raises:
        ConfigError: both were typed, and cannot both be.
    """
    words = dict(_split(run.overrides))
    settings = run.settings
    if settings.epochs is not None and "steps" in words:
        if "epochs" in words:
            raise ConfigError("steps", words["steps"], f"excludes epochs={words['epochs']}")
        settings = replaced(settings, {"epochs": None})
    if words.get("loss") == "static" and settings.loss.amplitude != 1:
        if not both:
            allowed = "must be 1 for loss=static; other amplitudes are those of loss=dynamical"
            raise ConfigError("loss.amplitude", settings.loss.amplitude, allowed)
        settings = replaced(settings, {"loss.amplitude": 1.0})
    settings = resolved(settings)
    return run if settings is run.settings else Run(run.number, run.overrides, settings)


def resolved(settings: RunConfig) -> RunConfig:
    """With all that follows from files and code which the settings name."""
    groups = {name: getattr(settings, name) for name in ("dataset", "model", "loss")}
    found = {name: group.resolved() for name, group in groups.items()}
    if all(found[name] is group for name, group in groups.items()):
        return settings
    new = replaced(settings, {})
    new.__dict__.update(found)
    return new


def meant_all(runs: Sequence[Run]) -> list[Run]:
    """As :func:`meant`, of a grid."""
    losses = {dict(_split(run.overrides)).get("loss") for run in runs}
    return [meant(run, both=losses > {"static"}) for run in runs]


def _split(overrides: Sequence[str]) -> list[tuple[str, str]]:
    parts = [text.lstrip("+").partition("=") for text in overrides]
    return [(name, value) for name, _, value in parts]
