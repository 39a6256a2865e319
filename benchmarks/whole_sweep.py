"""The default sweep as a whole, against the same grid through Hydra's basic launcher and joblib.

    python benchmarks/whole_sweep.py [--jobs 4]      # about five minutes

dynsweep's rows are `dynsweep ...` from start to end, tables and figures included. The peers'
task is ordinary PyTorch, a module and an optimiser (peers_torch.one_run), one thread to a run, as
that is its fastest here. They train fewer jobs of full length; the cost per job is taken from two
sweeps of different size, so that start-up is not multiplied with it, and the whole grid's time is
extrapolated from it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from omegaconf import DictConfig

from dynsweep.engines.devices import available_threads

STEPS = 35_000
GRIDS = {
    "default preset, 20 x 20 x 3 seeds": (1200, []),
    "30 x 30, one seed": (
        900,
        [
            "loss.period=" + ",".join(str(round(10 * 1.25**k)) for k in range(30)),
            "loss.amplitude=" + ",".join(f"{1.17**k:.3g}" for k in range(30)),
            "seed=0",
        ],
    ),
}


def ordinary(cfg: DictConfig) -> float:
    """The task of the peers: train one run."""
    import peers_torch
    import torch

    from dynsweep.config import typed

    torch.set_num_threads(1)
    run = typed(cfg)
    peers_torch.one_run(run)(run.steps)
    return 0.0


def work(launcher: str, jobs: str, directory: str) -> None:
    """A peer's sweep, in this process."""
    import hydra

    from dynsweep.config import register_schemas

    register_schemas()
    sys.argv = ["whole_sweep", "-m", f"hydra/launcher={launcher}", "hydra/sweeper=basic"]
    sys.argv += [f"hydra.sweep.dir={directory}", f"steps={STEPS}", f"seed=range(0,{jobs})"]
    if launcher == "joblib":
        sys.argv.append(f"hydra.launcher.n_jobs={available_threads()}")
    hydra.main(version_base="1.3", config_path="pkg://dynsweep.conf", config_name="config")(
        ordinary
    )()


def timed(arguments: list[str]) -> float:
    """Seconds that Python takes with these arguments."""
    start = time.perf_counter()
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=4, help="of the peers' longer sweep")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(*options.work)
    ours, peers = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for grid, (_, overrides) in GRIDS.items():
            directory = folder / f"ours{len(overrides)}"
            command = ["-m", "dynsweep", "+sweep=period_amplitude", f"steps={STEPS}"]
            ours[grid] = timed([*command, f"hydra.sweep.dir={directory}", *overrides])
        for launcher in ("basic", "joblib"):
            # Whole rounds of joblib's workers, so that none is idle at the end.
            sizes = (options.jobs // 2, options.jobs)
            short, long = (
                timed([__file__, "--work", launcher, str(jobs), str(folder / f"{launcher}{jobs}")])
                for jobs in sizes
            )
            peers[launcher] = (long - short) / (sizes[1] - sizes[0])
    print(f"{STEPS:,} steps a run, H = 100, {available_threads()} threads, {options.jobs} jobs of")
    print("the peers measured, the rest extrapolated:\n")
    print("| grid | dynsweep | Hydra's basic launcher, PyTorch | joblib launcher, PyTorch |")
    print("|---|---:|---:|---:|")
    for grid, (count, _) in GRIDS.items():
        cells = [
            f"{count * each / 3600:.1f} h ({count * each / ours[grid]:.0f} x)"
            for each in peers.values()
        ]
        print(f"| {grid}: {count:,} runs | {ours[grid] / 60:.1f} min | {' | '.join(cells)} |")
    return None


if __name__ == "__main__":
    main()
