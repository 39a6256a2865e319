"""The section ``command`` of ``gpu.py``: the main job, as a user types it."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

Row = dict[str, Any]


def rows(device: str, rehearse: bool) -> Iterator[Row]:
    """``dynsweep +sweep=period_amplitude``: whole, and killed and gone on with."""
    small = ["loss.period=10,20", "loss.amplitude=1,5", "seed=0", "steps=200"]
    command = [sys.executable, "-m", "dynsweep", "+sweep=period_amplitude"]
    command += [f"device={device}", *(small if rehearse else [])]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        whole = table(command, Path(folder) / "whole")
        yield {"what": "whole", "s": time.perf_counter() - start, "runs": len(whole)}
        directory = Path(folder) / "killed"
        first = subprocess.Popen(
            [*command, f"hydra.sweep.dir={directory}"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(0.7 * (time.perf_counter() - start))
        first.send_signal(signal.SIGKILL)
        first.wait()
        start = time.perf_counter()
        resumed = table(command, directory)
        seconds = time.perf_counter() - start
        yield {"what": "killed, then this", "s": seconds, "runs": len(resumed),
               "same to the bit": resumed == whole}  # fmt: skip


def table(command: list[str], directory: Path) -> list[tuple[str, ...]]:
    subprocess.run([*command, f"hydra.sweep.dir={directory}"], check=True)
    frame = pd.read_csv(directory / "results.csv")
    names = ["period", "amplitude", "seed", "status", "train_loss", "validation_loss"]
    return sorted(map(tuple, frame[names].astype(str).to_numpy().tolist()))
