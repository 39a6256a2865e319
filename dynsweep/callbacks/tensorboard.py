"""``+callbacks=tensorboard``: a TensorBoard run per run, its settings as hyperparameters."""

import re
import shutil
from pathlib import Path

from dynsweep.callbacks.runs import Logged, Tracker
from dynsweep.store import METRICS


class TensorBoard(Tracker):
    """Writes a folder per run; one that failed has nothing to show.

    Args:
        directory: for ``tensorboard --logdir``; ``tensorboard`` in the sweep directory if not
            given.
    """

    def __init__(self, directory: str | None = None) -> None:
        super().__init__("tensorboard", "TensorBoard", patience=10)
        self.directory = directory

    def log(self, run: Logged) -> None:
        from torch.utils.tensorboard import SummaryWriter

        root = Path(self.directory or run.directory / "tensorboard")
        # The interface shows the folder's name.
        words = re.sub(r"[^\w.=,+-]", "_", ",".join(run.words))
        place = root / f"{words[:150]},{run.record['id']}"
        if not run.curves or place.exists():
            return
        partial = root / f".{run.record['id']}.partial"
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        final = {name: run.curves[name].pop(run.steps) for name in METRICS if name in run.curves}
        with SummaryWriter(str(partial)) as writer:
            for name, values in run.curves.items():
                for step, value in values.items():
                    writer.add_scalar(name, value, step)
            # Without a name of its own it would make a folder for these.
            writer.add_hparams(run.settings, final, run_name=".", global_step=run.steps)
        partial.rename(place)
