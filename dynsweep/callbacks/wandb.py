"""``+callbacks=wandb``: a run of Weights & Biases per run, the sweep as its group."""

import fcntl
import hashlib
import math
import os
import shutil
from collections import defaultdict
from pathlib import Path

from dynsweep.callbacks.patience import within
from dynsweep.callbacks.runs import Logged, Tracker
from dynsweep.errors import ConfigError
from dynsweep.store import FAILED

MODES = ("online", "offline", "disabled")


class WandB(Tracker):
    """Logs to the server, or offline into files for ``wandb sync``.

    One process of W&B takes all runs, one after another: 0.1 to 0.2 s each offline.

    Args:
        project: made if it is not there.
        entity: user or team; the user's default one if not given.
        group: of the runs; the sweep directory if not given.
        mode: ``online``, where one has to be logged in, ``offline`` or ``disabled``.
        directory: holds the folder ``wandb``; the sweep directory if not given.
        patience: seconds that are waited for it in all.
    """

    def __init__(
        self,
        project: str = "dynsweep",
        entity: str | None = None,
        group: str | None = None,
        mode: str = "online",
        directory: str | None = None,
        patience: float = 10,
    ) -> None:
        super().__init__("wandb", "Weights & Biases", patience)
        if mode not in MODES:
            allowed = f"must be one of {', '.join(MODES)}"
            raise ConfigError("hydra.callbacks.wandb.mode", mode, allowed)
        self.project, self.entity, self.group = project, entity, group
        self.mode, self.directory = mode, directory
        # Its reports on itself; to a server that is silent, they hold up the end of the command.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        if mode == "online":
            self._check_login()

    def _check_login(self) -> None:
        import wandb

        os.environ.setdefault("WANDB_HTTP_TIMEOUT", str(math.ceil(self.patience) + 1))
        host = wandb.setup(settings=wandb.Settings(silent=True)).settings.base_url
        logged_in: list[bool] = []

        def ask() -> None:
            logged_in.append(wandb.login(prompt=False, verify=True))

        self.refuse_without("mode", f"{self.mode} at {host}", ask)
        if not all(logged_in):
            allowed = f"not logged in at {host}: wandb login, WANDB_API_KEY=..., or mode=offline"
            raise ConfigError("hydra.callbacks.wandb.mode", self.mode, allowed)

    def log(self, run: Logged) -> None:
        if self.mode == "disabled":
            return
        import wandb

        record, directory = run.record, run.directory.resolve()
        root = Path(self.directory).resolve() if self.directory else directory
        # Of two sweeps the same run is a run of each, and one that was tried again another.
        place = hashlib.sha256(f"{directory} {record['finished']}".encode()).hexdigest()[:8]
        name = f"{record['id']}-{place}"
        with (directory / ".wandb.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that log the same run
            if any((root / "wandb").glob(f"*run-*-{name}")):
                return
            partial = root / ".wandb.partial"
            shutil.rmtree(partial, ignore_errors=True)  # of one that was cut short
            partial.mkdir(parents=True)
            settings = wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                # Of the machine: it has trained the run before, or another machine has.
                x_disable_stats=True,
                x_disable_meta=True,
                init_timeout=self.patience,
                finish_timeout=self.patience,
                finish_timeout_raises=True,
            )
            begun = within(
                self.patience,
                lambda: wandb.init(
                    project=self.project,
                    entity=self.entity,
                    group=(self.group or str(run.directory))[-128:],  # as long as W&B allows
                    name=" ".join(run.words)[:128],
                    id=name,
                    resume="allow",
                    config={**run.settings, "dynsweep.directory": str(directory)},
                    dir=partial,
                    mode="online" if self.mode == "online" else "offline",
                    reinit="create_new",
                    settings=settings,
                ),
            )
            steps: dict[int, dict[str, float]] = defaultdict(dict)
            for quantity, values in run.curves.items():
                for step, value in values.items():
                    steps[step][quantity] = value
            for step in sorted(steps):
                begun.log(steps[step], step=step)
            facts = ("id", "status", "finished", "engine", "seconds", "error")
            begun.summary.update({f"dynsweep.{fact}": record[fact] for fact in facts})
            failed = record["status"] == FAILED
            within(self.patience + 1, lambda: begun.finish(exit_code=int(failed)))
            (root / "wandb").mkdir(exist_ok=True)
            for folder in (partial / "wandb").glob(f"*run-*-{name}"):
                folder.rename(root / "wandb" / folder.name)
            shutil.rmtree(partial, ignore_errors=True)
