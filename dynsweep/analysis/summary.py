"""What a user reads at the end of a sweep: a short table, counts, and where the files are."""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dynsweep.analysis.columns import ACCURACIES, varying
from dynsweep.analysis.select import best_cell, static_twin
from dynsweep.analysis.variance import ranked
from dynsweep.config import SETTINGS
from dynsweep.config.labels import assignment, seeds_text
from dynsweep.metrics import COLUMNS
from dynsweep.store import COMPLETED, DIVERGED, FAILED, STATUSES

WIDTH = 96
MOST_FAILURES = 10  # listed one by one


@dataclass
class Summary:
    """The tables of some runs, and what was written of them.

    Attributes:
        runs: one row per run, as in ``results.csv``.
        cells: one row per cell, as in ``cells.csv``.
        variance: what the settings explain, as in ``variance.csv``.
        output: the directory of the files.
        files: all that were written.
        notes: what is missing, one line each.
    """

    runs: pd.DataFrame
    cells: pd.DataFrame
    variance: pd.DataFrame
    output: Path
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> pd.Series | None:
        """The cell of highest mean validation accuracy; ``None`` if no run finished."""
        return best_cell(self.cells)

    def text(self) -> str:
        """A short plain table, at most 96 columns wide."""
        table = self._diverged() or [*self._table(), *self._variance()]
        lines = ["", self._counts(), *table]
        for note in self.notes:
            lines += textwrap.wrap(note, WIDTH)
        return "\n".join([*lines, *self._failures(), *self._files()])

    def _counts(self) -> str:
        status = self.runs["status"].value_counts().reindex(STATUSES, fill_value=0)
        shown = [f"{n:,} {name}" for name, n in status.items() if n or name == COMPLETED]
        text = f"{len(self.runs):,} run{'s' * (len(self.runs) != 1)}: {', '.join(shown)}"
        if len(self.cells):
            cells = len(self.cells)
            text += f"; {cells:,} cell{'s' * (cells != 1)} of {seeds_text(self.cells['seeds'])}"
        return text

    def _diverged(self) -> list[str]:
        """Where all runs diverged, a learning rate to try: a tenth of the smallest that was tried,
        or the default if that is less."""
        ended = self.runs[self.runs["status"] != FAILED]
        if ended.empty or (ended["status"] != DIVERGED).any():
            return []
        lr = min(float(ended["lr"].min()) / 10, SETTINGS["optimizer.lr"].default)
        which = "Every run" if len(self.runs) > 1 else "The run"
        if len(ended) < len(self.runs):
            which += " that did not fail"
        return ["", f"{which} diverged: try a smaller learning rate, optimizer.lr={lr:.3g}.", ""]

    def _table(self) -> list[str]:
        best = self.best
        if best is None:
            return []
        dynamical = self.cells["amplitude"] != 1
        # Trained at every period of a grid, each seed still counts once.
        static = static_twin(self.runs, best).groupby("seed")[list(ACCURACIES)].mean()
        rows = {}
        if len(static.dropna()):
            rows["static loss"] = [_value(static[m].mean(), static[m].sem()) for m in ACCURACIES]
        if dynamical.any():
            rows["best cell"] = [_value(best[f"{m}_mean"], best[f"{m}_se"]) for m in ACCURACIES]
            gains = [f"{m}_gain" for m in ACCURACIES]
            if best[gains].notna().any():
                rows["gain"] = [_value(best[gain], best[f"{gain}_se"], "+") for gain in gains]
                rows["p (paired t-test)"] = [_p(best[f"{gain}_p"]) for gain in gains]
                rows["p, corrected"] = [_p(best[f"{gain}_p_corrected"]) for gain in gains]
        rows = {"": [COLUMNS[m] for m in ACCURACIES], **rows}
        lines = [f"{name:20}{train:>22}{valid:>22}" for name, (train, valid) in rows.items()]
        if dynamical.any():
            names = dict.fromkeys(["period", "amplitude", *varying(self.cells)])
            values = ", ".join(assignment(name, best[name]) for name in names)
            lines += textwrap.wrap(
                f"Best cell: {values} (highest validation accuracy of {dynamical.sum():,})", WIDTH
            )
        return ["", *lines, ""]

    def _variance(self) -> list[str]:
        """Which settings matter, in percent."""
        if self.variance.empty:
            return []
        lines = [f"{'share of the variance of accuracy':42}{'training':>11}{'validation':>11}"]
        shown = ranked(self.variance)
        for name, values in shown.iterrows():
            train, valid = (_percent(value) for value in values)
            lines.append(f"{name!s:42}{train:>11}{valid:>11}")
        if (shown < -0.0005).any(axis=None):
            lines.append("(below 0: no effect that stands out from the seeds' noise)")
        return [*lines, ""]

    def _failures(self) -> list[str]:
        """The runs that raised, and why."""
        failed = self.runs[self.runs["status"] == FAILED]
        names = varying(self.runs)
        lines = []
        for _, run in failed.head(MOST_FAILURES).iterrows():
            values = ", ".join(assignment(name, run[name]) for name in names)
            line = f"Failed: {values or run['id']}: {run['error']}"
            lines.append(textwrap.shorten(line, 2 * WIDTH, placeholder=" ..."))
        if len(failed) > MOST_FAILURES:
            lines.append(f"{len(failed) - MOST_FAILURES:,} more failed runs: see results.csv")
        return lines

    def _files(self) -> list[str]:
        """Names without and with all their formats, ``name.{pdf,png}``."""
        suffixes: dict[str, list[str]] = {}
        for path in self.files:
            suffixes.setdefault(path.stem, []).append(path.suffix[1:])
        names = [
            f"{stem}.{forms[0]}" if len(forms) == 1 else f"{stem}.{{{','.join(forms)}}}"
            for stem, forms in suffixes.items()
        ]
        wrapped = textwrap.wrap("  ".join(names), WIDTH - 2, break_on_hyphens=False)
        return [f"Files in {self.output}:", *(f"  {line}" for line in wrapped)]


def _value(mean: Any, error: Any, sign: str = "") -> str:
    if pd.isna(mean):
        return "none"
    text = f"{mean:{sign}.4f}"
    return text if pd.isna(error) else f"{text} ± {error:.4f}"


def _percent(share: float) -> str:
    return "none" if pd.isna(share) else f"{round(share, 3) + 0.0:.1%}"


def _p(p: Any) -> str:
    if pd.isna(p):
        return "none"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
