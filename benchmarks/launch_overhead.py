"""What launching costs per job, when nothing is trained: Hydra's own way and the fused one.

    python benchmarks/launch_overhead.py [--jobs 2500]

Each row is a process of its own, with dynsweep's configuration (60 settings) and a grid over
period, amplitude and seed. The first two are timed from start to end; Hydra's own launcher is run
on fewer jobs, and its cost per job is taken from two runs of different length, so that start-up is
not multiplied with it. The last is what the fused sweeper does with a job: compose it, check it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

GRID = [
    "loss.period=10,20,50,100,200,500,1000,2000,3000,5000",
    "loss.amplitude=1,2,3,5,10,20,30,40,50,70",
]
HYDRAS_JOBS = (20, 60)
BASIC = "basic launcher and sweeper"
FUSED = "fused launcher and sweeper"
CHECKS = "of it composing and checking"


def work(row: str, seeds: int, directory: str) -> None:
    """One sweep, in this process."""
    import hydra

    from dynsweep.config import register_schemas
    from dynsweep.launchers import register
    from dynsweep.launchers.fused import FusedLauncher
    from dynsweep.sweep.task import Task

    register()
    register_schemas()
    overrides = [f"hydra.sweep.dir={directory}", f"seed=range(0,{seeds})"]
    if row == BASIC:
        overrides += ["hydra/launcher=basic", "hydra/sweeper=basic"]
        task: Any = lambda cfg: 0.0  # noqa: E731
    else:
        overrides += GRID
        task = Task()
        FusedLauncher.train = lambda self, runs, directory: [0.0] * len(runs)  # type: ignore[method-assign]
    sys.argv = ["launch_overhead", "-m", *overrides]
    app = hydra.main(version_base="1.3", config_path="pkg://dynsweep.conf", config_name="config")
    app(task)()


def checks(seeds: int) -> float:
    """Seconds to compose and check the grid, imports and Hydra's start left out."""
    import itertools

    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    from dynsweep.config import register_schemas
    from dynsweep.launchers import register
    from dynsweep.launchers.compose import Composer
    from dynsweep.sweep.teams import check

    register()
    register_schemas()
    values = [text.partition("=")[2].split(",") for text in GRID]
    jobs = [
        [f"loss.period={period}", f"loss.amplitude={amplitude}", f"seed={seed}"]
        for period, amplitude in itertools.product(*values)
        for seed in range(seeds)
    ]
    with initialize_config_module("dynsweep.conf", version_base="1.3"):
        state = GlobalHydra.instance().hydra
        assert state is not None
        master = state.compose_config("config", [], run_mode=RunMode.MULTIRUN)
        start = time.perf_counter()
        composer = Composer(state.config_loader, master)
        check([composer.run(number, job) for number, job in enumerate(jobs)])
        return time.perf_counter() - start


def timed(row: str, seeds: int, folder: Path) -> float:
    """Seconds of a process for one sweep, or what it says that it took."""
    command = [sys.executable, __file__, "--work", row, str(seeds), tempfile.mkdtemp(dir=folder)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout) if row == CHECKS else time.perf_counter() - start


def main() -> None:
    """Time all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2500, help="a multiple of 100")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many is shown")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        row, seeds, directory = options.work
        if row == CHECKS:
            print(checks(int(seeds)))
        else:
            work(row, int(seeds), directory)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short, long = (timed(BASIC, jobs, folder) for jobs in HYDRAS_JOBS)
        each = (long - short) / (HYDRAS_JOBS[1] - HYDRAS_JOBS[0])
        hydras = (short + each * (options.jobs - HYDRAS_JOBS[0])) / options.jobs
        lines = [(f"{BASIC} (from {HYDRAS_JOBS[1]} jobs, extrapolated)", hydras)]
        seeds = options.jobs // 100
        for row in (FUSED, CHECKS):
            best = min(timed(row, seeds, folder) for _ in range(options.repeats))
            lines.append((row, best / (100 * seeds)))
    width = max(len(row) for row, _ in lines)
    print(f"{options.jobs} jobs, start-up included".ljust(width), "  ms/job")
    for row, seconds in lines:
        print(f"{row.ljust(width)}  {seconds * 1e3:7.3f}  {hydras / seconds:9.0f} x faster")


if __name__ == "__main__":
    main()
