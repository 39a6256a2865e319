"""What launching costs per job, with a task that does nothing: Hydra's own way and the fused one.

    python benchmarks/launch_overhead.py [--jobs 2500]

Each row is a process of its own, timed from its start to its end, with dynsweep's configuration
(about 35 settings) and a grid over period, amplitude and seed. Hydra's own launcher is run on
fewer jobs; its cost per job is taken from two runs of different length, so that start-up is not
multiplied with it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

PERIODS = "loss.period=10,20,50,100,200,500,1000,2000,3000,5000"
AMPLITUDES = "loss.amplitude=1,2,3,5,10,20,30,40,50,70"
HYDRAS_JOBS = (20, 60)


def ordinary(cfg: DictConfig) -> float:
    """An empty task, as any Hydra app has it."""
    return 0.0


class Together:
    """An empty task that takes all jobs and records each in one file for the sweep."""

    def __call__(self, cfg: DictConfig) -> float:
        return 0.0

    def check_jobs(self, jobs: Sequence[Any], sweep: DictConfig, here: bool = True) -> None:
        pass

    def run_jobs(self, jobs: Sequence[Any], sweep: DictConfig) -> list[Any]:
        with open(Path(sweep.hydra.sweep.dir, "runs.jsonl"), "a") as file:
            for job in jobs:
                record = {"number": job.number, "overrides": job.overrides, "config": job.config}
                file.write(json.dumps(record) + "\n")
        return [0.0] * len(jobs)


ROWS = {
    "fused launcher, ordinary task, full .hydra tree": (ordinary, "fused", False),
    "fused launcher, all jobs together, one file": (Together, "fused", False),
    "fused launcher, all jobs together, file and tree": (Together, "fused", True),
}
HYDRAS_ROW = ("basic launcher and sweeper", (ordinary, "basic", False))


def work(row: str, seeds: int, directory: str) -> None:
    """One sweep, in this process."""
    import hydra

    from dynsweep.config import register_schemas
    from dynsweep.launchers.registration import register

    register()
    register_schemas()
    task, plugin, job_dirs = {**ROWS, HYDRAS_ROW[0]: HYDRAS_ROW[1]}[row]
    overrides = [
        f"hydra.sweep.dir={directory}",
        f"hydra/launcher={plugin}",
        f"hydra/sweeper={plugin}",
        f"seed=range(0,{seeds})",
    ]
    if plugin == "fused":
        overrides += [PERIODS, AMPLITUDES, f"hydra.launcher.job_dirs={job_dirs}"]
    function: Any = task() if isinstance(task, type) else task
    sys.argv = ["launch_overhead", "-m", *overrides]
    hydra.main(version_base="1.3", config_path="pkg://dynsweep.conf", config_name="config")(
        function
    )()


def timed(row: str, seeds: int, folder: Path) -> float:
    """Seconds that a process takes for one sweep."""
    directory = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, __file__, "--work", row, str(seeds), directory]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Time all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2500, help="a multiple of 100")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many is shown")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        row, seeds, directory = options.work
        work(row, int(seeds), directory)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short, long = (timed(HYDRAS_ROW[0], jobs, folder) for jobs in HYDRAS_JOBS)
        each = (long - short) / (HYDRAS_JOBS[1] - HYDRAS_JOBS[0])
        hydras = (short + each * (options.jobs - HYDRAS_JOBS[0])) / options.jobs
        lines = [(f"{HYDRAS_ROW[0]} (from {HYDRAS_JOBS[1]} jobs, extrapolated)", hydras)]
        for row in ROWS:
            seeds = options.jobs // 100
            best = min(timed(row, seeds, folder) for _ in range(options.repeats))
            lines.append((row, best / (100 * seeds)))
    width = max(len(row) for row, _ in lines)
    print(f"{options.jobs} jobs, start-up included".ljust(width), "  ms/job")
    for row, seconds in lines:
        print(f"{row.ljust(width)}  {seconds * 1e3:7.3f}  {hydras / seconds:9.0f} x faster")


if __name__ == "__main__":
    main()
