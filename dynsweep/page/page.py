"""Write the report page: one file that opens from disk, without a server or the network."""

from __future__ import annotations

import base64
import gzip
import importlib.resources
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import dynsweep
from dynsweep.config.labels import duration
from dynsweep.page.payload import payload
from dynsweep.page.pictures import decision_sprite, trajectories, typical_rows
from dynsweep.store.files import replacing

NAME = "report.html"
MOST_BYTES = 6_000_000
PICTURES = {"sprite": "decision regions", "trajectories": "trajectories"}


def write_page(
    directories: Sequence[str | Path],
    frame: pd.DataFrame,
    cells: pd.DataFrame,
    axes: Sequence[str | None],
    output: Path,
) -> tuple[Path, list[str]]:
    """Write ``report.html`` into ``output``.

    Args:
        directories: of the sweep, as they were aggregated.
        frame: runs.
        cells: statistics over seeds.
        axes: settings for the diagram's axes at first.
        output: an existing directory.

    Returns:
        The file, and notes on what was left out of it.
    """
    frame = frame.reset_index(drop=True)
    known = payload(frame, cells, axes)
    notes = []
    if known["whole"]:
        typical = typical_rows(frame, [axis["name"] for axis in known["axes"]])
        known["sprite"] = decision_sprite(frame, typical)
        known["trajectories"] = trajectories(frame, typical)
    else:
        notes.append("The report page shows cells, not runs: there are too many.")
    text = _render(directories, frame, known)
    for name, words in PICTURES.items():
        if len(text.encode()) > MOST_BYTES and known.get(name):
            known[name] = None
            notes.append(f"The report page is without {words}: they are too large.")
            text = _render(directories, frame, known)
    path = output / NAME
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path, notes


def _render(directories: Sequence[str | Path], frame: pd.DataFrame, known: dict[str, Any]) -> str:
    import jinja2
    from plotly.offline import get_plotlyjs

    files = importlib.resources.files("dynsweep.page")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    # Base64 of compressed text cannot close a script element, whatever it holds.
    return template.render(
        title=_title(known),
        style=(files / "page.css").read_text(encoding="utf-8"),
        script=(files / "page.js").read_text(encoding="utf-8"),
        plotly=_packed(get_plotlyjs()),
        data=_packed(json.dumps(known, separators=(",", ":"), allow_nan=False)),
        facts=_facts(directories, frame),
        counts={name: count for name, count in known["counts"].items() if count},
        fixed=known["fixed"],
        commands=_commands(directories),
    )


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def _title(known: dict[str, Any]) -> str:
    names = [axis["label"].partition(" (")[0] for axis in known["axes"]]
    if not names:
        return "dynsweep"
    first = ", ".join(names[:-1])
    return f"Sweep of {first} and {names[-1]}" if first else f"Sweep of {names[-1]}"


def _facts(directories: Sequence[str | Path], frame: pd.DataFrame) -> dict[str, str]:
    """What the runs were made with, where, when, and how long it took."""
    facts = {"directory": ", ".join(str(one) for one in directories)}
    for column in ("software", "hardware", "device", "engine"):
        if column in frame:
            facts[column] = "; ".join(sorted({str(one) for one in frame[column].dropna()}))
    if "finished" in frame and frame["finished"].notna().any():
        first, last = frame["finished"].dropna().min(), frame["finished"].dropna().max()
        facts["recorded"] = str(first) if first == last else f"{first} to {last}"
    facts["training time"] = f"{duration(float(frame['seconds'].fillna(0).sum()))} in all"
    facts["page written by"] = f"dynsweep {dynsweep.__version__}"
    return facts


def _commands(directories: Sequence[str | Path]) -> list[str]:
    """The command lines of the sweeps, as far as Hydra recorded them."""
    from omegaconf import OmegaConf

    found = []
    for directory in directories:
        for name in ("multirun.yaml", ".hydra/hydra.yaml"):
            path = Path(directory) / name
            if not path.exists():
                continue
            hydra = OmegaConf.select(OmegaConf.load(path), "hydra.overrides")
            if hydra is not None:
                words = [*(hydra.hydra or []), *(hydra.task or [])]
                kept = [word for word in words if not str(word).startswith("hydra.mode=")]
                found.append(shlex.join(["dynsweep", *map(str, kept)]))
            break
    return found
