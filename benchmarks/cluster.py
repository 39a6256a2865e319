"""Many short runs on a Slurm cluster: ``fused_slurm`` against the stock ``submitit_slurm``.

    python benchmarks/cluster.py [--runs 600] [--tasks 6] [--stock 24] [--steps 100]

Both on the cluster of three virtual nodes that the tests use (Debian's slurm-wlm must be
installed). The stock launcher trains a part of the runs, one in a task; the rest is extrapolated.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import slurm_cluster


def sweep(cluster: slurm_cluster.Cluster, launcher: str, runs: int, *settings: str) -> float:
    """Seconds of the whole command, tables and figures included."""
    with tempfile.TemporaryDirectory(dir=cluster.root) as directory:
        command = [
            sys.executable, "-m", "dynsweep", "-m", f"hydra/launcher={launcher}",
            f"seed=range(0,{runs})", "hydra.launcher.cpus_per_task=1",
            f"hydra.sweep.dir={directory}", *settings,
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, env=cluster.env, check=True, capture_output=True)
        return time.perf_counter() - started


def main() -> None:
    """Run both, and print seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--tasks", type=int, default=6)
    parser.add_argument("--stock", type=int, default=24, help="runs of the stock launcher")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    steps = f"steps={options.steps}"
    with (
        tempfile.TemporaryDirectory() as root,
        slurm_cluster.cluster(Path(root) / "slurm", array=1001) as cluster,
    ):
        tasks = f"hydra.launcher.tasks={options.tasks}"
        ours = sweep(cluster, "fused_slurm", options.runs, steps, tasks)
        few = sweep(cluster, "fused_slurm", options.tasks, steps, tasks)
        stock = sweep(cluster, "submitit_slurm", options.stock, steps)
        fewer = sweep(cluster, "submitit_slurm", options.stock // 2, steps)
    each = (stock - fewer) / (options.stock - options.stock // 2)
    whole = stock + each * (options.runs - options.stock)
    print(f"fused_slurm, {options.runs} runs in {options.tasks} tasks: {ours:.1f} s")
    print(f"fused_slurm, {options.tasks} runs in {options.tasks} tasks: {few:.1f} s", end="; ")
    print(f"{1000 * (ours - few) / (options.runs - options.tasks):.1f} ms for each further run")
    print(f"submitit_slurm, {options.stock} runs: {stock:.1f} s, {fewer:.1f} s for half", end="; ")
    print(f"{each:.2f} s for each further run, {options.runs} runs extrapolated: {whole:.0f} s")
    print(f"ratio: {whole / ours:.0f}")


if __name__ == "__main__":
    main()
