"""Everything that is to be known of one GPU, in one command of at most nine minutes.

    python benchmarks/gpu.py [--output gpu]        # writes gpu.json and gpu.md
    python benchmarks/gpu.py --rehearse            # the same code on the CPU: nothing is measured
    python benchmarks/gpu.py --static [--architectures 80 90]  # of the kernel, needs no GPU
    python benchmarks/gpu.py --sections simple --units 4 7 10 13  # other geometries

Each section is a process of its own with a time limit: what hangs or fails costs nobody else
anything, and is named in the tables. The sections are in gpu_sections.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIMITS = {"correct": 120, "simple": 170, "convolutions": 130, "memory": 40, "command": 120}  # s


def section(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Its rows, or why there are none."""
    start = time.perf_counter()
    limit = LIMITS[name] * (4 if options.rehearse else 1)  # the CPU may be busy, and nobody waits
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        script = Path(__file__).with_name("gpu_sections.py")
        command = [sys.executable, script, name, file]
        command += ["--units", *map(str, options.units)] + ["--rehearse"] * options.rehearse
        environment = os.environ | ({"TRITON_INTERPRET": "1"} if options.rehearse else {})
        error = ""
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=limit
            )
            if done.returncode:
                error = (done.stderr.strip().splitlines() or ["no word"])[-1]
        except subprocess.TimeoutExpired:
            error = f"not done within {limit} s"
        # What came before an error counts.
        lines = file.read_text().splitlines() if file.exists() else []
    seconds = round(time.perf_counter() - start, 1)
    return {"rows": [*map(json.loads, lines)], "error": error, "seconds": seconds}


def markdown(found: dict[str, Any]) -> str:
    """A table for each section."""
    text = []
    for name, one in found.items():
        text.append(f"## {name} ({one['seconds']} s)\n")
        columns = list(dict.fromkeys(key for row in one["rows"] for key in row))
        if columns:
            text += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        text += [
            f"| {' | '.join(_cell(row.get(key, '')) for key in columns)} |" for row in one["rows"]
        ]
        text += [f"\n**{name}: {one['error']}**"] * bool(one["error"]) + [""]
    return "\n".join(text)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("gpu"))
    parser.add_argument("--sections", nargs="+", choices=LIMITS, default=list(LIMITS))
    parser.add_argument("--units", type=int, nargs="*", default=[], help="per thread, to compare")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--static", action="store_true")
    parser.add_argument("--architectures", type=int, nargs="+", default=[80, 90])
    parser.add_argument("--widths", type=int, nargs="+", default=[100, 1000], help="of --static")
    parser.add_argument("--classes", type=int, nargs="+", default=[3], help="of --static")
    options = parser.parse_args()
    if options.static:
        from gpu_static import table

        for line in table(options.architectures, options.widths, options.classes):
            print(line, flush=True)
        return
    import torch

    if not (options.rehearse or torch.cuda.is_available()):
        print("No GPU here: nothing was run, and nothing was measured.")
        return
    found = {}
    for name in options.sections:
        found[name] = section(name, options)
        print(markdown({name: found[name]}), flush=True)
        # Written each time: a machine may be taken away.
        options.output.with_suffix(".json").write_text(json.dumps(found, indent=1))
        options.output.with_suffix(".md").write_text(markdown(found))
    if any(one["error"] for one in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
