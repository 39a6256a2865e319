"""Write the report page: one file that opens from disk, without a server or the network."""

import base64
import gzip
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from dynsweep.analysis.decisions import typical_runs
from dynsweep.analysis.variance import Variance
from dynsweep.config.labels import duration
from dynsweep.page.comparison import comparison
from dynsweep.page.payload import bars, payload
from dynsweep.page.pictures import decision_sprite, trajectories
from dynsweep.store import FAILED, Damaged
from dynsweep.store.command import command_line
from dynsweep.store.damage import left_out
from dynsweep.store.foreign import replacing_own

SCRIPTS = (
    "statistics.js",
    "diagram.js",
    "panel.js",
    "comparison.js",
    "parallel.js",
    "table.js",
    "variance.js",
    "page.js",
)
MOST_BYTES = 6_000_000
PICTURES = {"sprite": "decision regions", "trajectories": "trajectories"}


def write_page(
    directories: Sequence[str | Path],
    runs: pd.DataFrame,
    cells: pd.DataFrame,
    axes: Sequence[str | None],
    path: Path,
    variance: Variance,
    finer: bool = False,
) -> list[str]:
    """Write the page of these sweeps into the file ``path``; returns notes on what was left out.

    Tables and axes are those of :func:`dynsweep.page.payload.payload`; of the ``variance`` the
    page draws the shares. ``finer``: cells may have different sizes, and fill the diagram.
    """
    content = payload(runs, cells, axes, finer) | {"variance": bars(variance)}
    content["comparison"] = comparison(directories, axes)
    notes = []
    if content["runs"]:
        swept = [axis["name"] for axis in content["axes"]]
        typical = typical_runs(runs[runs["status"] != FAILED], swept)
        content["sprite"] = decision_sprite(typical)
        content["trajectories"] = trajectories(typical)
    else:
        notes.append("The report page shows cells, not runs: there are too many.")
    text = _render(directories, runs, content)
    for name, words in PICTURES.items():
        if len(text.encode()) > MOST_BYTES and content.get(name):
            content[name] = None
            notes.append(f"The report page is without {words}: they are too large.")
            text = _render(directories, runs, content)
    with replacing_own(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return notes


def _render(directories: Sequence[str | Path], runs: pd.DataFrame, content: dict[str, Any]) -> str:
    import jinja2
    from plotly.offline import get_plotlyjs

    here = Path(__file__).parent
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    # Base64 of compressed text cannot close a script element, whatever it holds.
    return template.render(
        title=_title(content),
        style=(here / "page.css").read_text(encoding="utf-8"),
        script="\n".join((here / name).read_text(encoding="utf-8") for name in SCRIPTS),
        plotly=_packed(get_plotlyjs()),
        data=_packed(json.dumps(content, separators=(",", ":"), allow_nan=False)),
        facts=_facts(directories, runs),
        counts={name: count for name, count in content["counts"].items() if count},
        fixed=content["fixed"],
        commands=_commands(directories),
    )


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def _title(content: dict[str, Any]) -> str:
    names = [axis["label"].partition(" (")[0] for axis in content["axes"]]
    words = [", ".join(names[:-1]), *names[-1:]]
    return f"Sweep of {' and '.join(filter(None, words))}" if names else "dynsweep"


def _facts(directories: Sequence[str | Path], runs: pd.DataFrame) -> dict[str, str]:
    """What the runs were made with, where, when, and how long it took."""
    facts = {"directory": ", ".join(map(str, directories))}
    for column in ("software", "hardware", "device", "engine"):
        if column in runs:
            facts[column] = "; ".join(sorted(map(str, runs[column].dropna().unique())))
    if "finished" in runs and runs["finished"].notna().any():
        first, last = runs["finished"].dropna().min(), runs["finished"].dropna().max()
        facts["recorded"] = str(first) if first == last else f"{first} to {last}"
    facts["training time"] = f"{duration(float(runs['seconds'].sum()))} in all"
    facts["page written by"] = f"dynsweep {version('dynsweep')}"
    return facts


def _commands(directories: Sequence[str | Path]) -> list[str]:
    """The command lines of the sweeps, as far as Hydra recorded them and they are no secrets."""
    commands = []
    for directory in directories:
        try:
            commands.append(command_line(directory))
        except Damaged as error:
            left_out(error, "the command line on the report page")
    return [command for command in commands if command]
