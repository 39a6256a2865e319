"""Make the results in this folder again, each by the commands in its README.

    python outputs/reference/remake.py              # all of them
    python outputs/reference/remake.py notebook     # one

The first ``bash`` block of a README runs with DIR set to ``outputs/remade/NAME``, and CIFAR10 to
the folder of the published binary version. Files in DIR that have the name of one beside the
README replace it. What was trained before in DIR is not trained again: remove it to start anew.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = ("README.md", ".py")  # written by hand


def known() -> list[str]:
    """Folders whose README has commands, by name."""
    return sorted(path.parent.name for path in HERE.glob("*/README.md"))


def commands(name: str) -> str:
    """The commands of a folder."""
    found = re.search(r"^```bash\n(.*?)^```", (HERE / name / "README.md").read_text(), re.M | re.S)
    if found is None:
        raise SystemExit(f"{name}/README.md has no commands")
    return found[1]


def remake(name: str) -> None:
    """Run the commands of a folder, and take over what they made."""
    made = ROOT / "outputs" / "remade" / name
    made.mkdir(parents=True, exist_ok=True)
    cifar10 = os.environ.get("CIFAR10", str(ROOT / "data" / "cifar10"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {**os.environ, "DIR": str(made), "CIFAR10": cifar10, "PATH": path}
    begun = time.monotonic()
    shell = ["bash", "-euxo", "pipefail", "-c", commands(name)]
    subprocess.run(shell, cwd=ROOT, env=variables, check=True)
    for file in sorted((HERE / name).iterdir()):
        if file.name.endswith(KEPT):
            continue
        if not (made / file.name).exists():
            raise SystemExit(f"{name}: the commands did not make {file.name}")
        shutil.copyfile(made / file.name, file)
    print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known()))
    for chosen in parser.parse_args().names or known():
        if chosen not in known():
            parser.error(f"{chosen}: must be one of {', '.join(known())}")
        remake(chosen)
