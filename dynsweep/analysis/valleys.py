"""Valleys of the loss along runs, out of what was recorded: whether the deep ones are wide."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dynsweep.analysis.columns import varying
from dynsweep.config import labels
from dynsweep.curvature.landscape import Floats, places

# What a valley is of: the ends of the names of columns, and words.
KINDS = {
    "": "all classes",
    "_emphasised": "emphasised classes",
    "_others": "other classes",
    "_random": "random direction",
}
SETTINGS = ("width", "lr", "period", "amplitude")
MOST_TOLD = 6
MEASURED = "valley_floor"  # the column that is there where a landscape was recorded


def cycle_steps(run: pd.Series) -> float:
    """Steps of a cycle: T, or T + 1 in the authors' notebook's counting."""
    return float(run["period"]) + (run.get("loss.counting") == "notebook")


def valleys(runs: pd.DataFrame, trajectories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per run and step at which a landscape was recorded.

    ``valley_...`` is as recorded. ``cycle`` counts from 0; ``phase`` is the time since its start
    as a part of it. Both are missing where the loss is static. The others are settings, those that
    differ among the runs too; ``run_width`` is that of the model.
    """
    tables = []
    named = {n: "run_width" if n == "width" else n for n in (*SETTINGS, *varying(runs), "seed")}
    for _, run in runs.iterrows():
        steps = trajectories[run["id"]]
        if MEASURED not in steps:
            continue
        steps = steps[steps["valley_sharpness"].notna()].sort_values("step")
        cycle, phase = np.divmod(steps["step"] / cycle_steps(run), 1)
        names = [name for name in map(str, steps) if name.startswith("valley_")]
        table = steps[["step", *names]].assign(cycle=cycle, phase=phase)
        static = table.get("valley_floor_emphasised", pd.Series(np.nan, table.index)).isna()
        table.loc[static & table[MEASURED].notna(), ["cycle", "phase"]] = np.nan
        settings = {column: run[name] for name, column in named.items()}
        tables.append(table.assign(**settings, id=run["id"]))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations of the valley's floor with its width: negative where deep goes with wide.

    Spearman's, of every run; then mean and standard error over the runs of equal settings, the
    seed as the unit.

    Returns:
        A row for each settings and kind of valley: ``within``, of the times of one cycle, the
        mean over cycles; ``between``, of the means of cycles; ``all``, of all times; each with
        ``_se``; ``rims``, as ``within``, of the depth below the ends of the profile with the
        width; ``seeds`` and ``cycles``; ``missing``, the part of the times without a width.
    """
    others = {"step", "cycle", "phase", "seed", "id"}
    columns = [n for n in map(str, table) if n not in others and not n.startswith("valley_")]
    rows = []
    for settings, group in table.dropna(subset=["cycle"]).groupby(columns, dropna=False):
        for end, words in KINDS.items():
            if f"valley_floor{end}" not in group:
                continue
            found = [_of_run(run, end) for _, run in group.groupby("id")]
            row: dict[str, object] = dict(zip(columns, settings, strict=True)) | {"of": words}
            for name in ("within", "between", "all", "rims"):
                values = np.array([one[name] for one in found])
                values = values[np.isfinite(values)]
                row[name] = values.mean() if len(values) else np.nan
                many = len(values) > 1
                row[f"{name}_se"] = values.std(ddof=1) / len(values) ** 0.5 if many else np.nan
            missing = group[f"valley_width{end}"].isna().mean()
            counts = {"seeds": len(found), "cycles": group["cycle"].nunique()}
            rows.append(row | counts | {"missing": missing})
    return pd.DataFrame(rows)


def _of_run(run: pd.DataFrame, end: str) -> dict[str, float]:
    """The correlations of one run."""
    floor, width, depth = (f"valley_{name}{end}" for name in ("floor", "width", "depth"))
    known = run.dropna(subset=[floor, width])
    cycles = known.groupby("cycle")

    def within(height: str) -> float:
        return float(pd.Series([_spearman(one[[height, width]]) for _, one in cycles]).mean())

    return {
        "within": within(floor),
        "between": _spearman(cycles[[floor, width]].mean()),
        "all": _spearman(known[[floor, width]]),
        "rims": within(depth),
    }


def _spearman(pair: pd.DataFrame) -> float:
    return float(pair.corr("spearman", min_periods=3).to_numpy()[0, 1])


def sentences(found: pd.DataFrame) -> list[str]:
    """What the correlations of the whole valley say, a line for each of the first settings."""
    if found.empty:
        return []
    lines = []
    for _, row in found[found["of"] == KINDS[""]].head(MOST_TOLD).iterrows():
        error = f" ± {row['within_se']:.2f}" if row["seeds"] > 1 else ""
        lines.append(
            f"H = {row['run_width']:g}: floor and width of the valley have the rank correlation "
            f"{row['within']:.2f}{error} within a cycle ({row['cycles']} cycles, "
            f"{labels.seeds_text([row['seeds']])}); negative: deep is wide."
        )
    return lines


def one_cycle(
    steps: pd.DataFrame, run: pd.Series, span: tuple[float, float] | None
) -> pd.DataFrame:
    """The rows of one run with a landscape that belong to one cycle: the last whole one that is
    not static, or the last one whose start is in the span; none if there is none."""
    known = steps[steps["valley_sharpness"].notna()].sort_values("step")
    cycle = np.floor(known["step"] / cycle_steps(run))
    counts = cycle[known["profile_emphasised_0"].notna()].value_counts()
    whole = counts[counts == counts.max()].index.to_series()
    if span:
        whole = whole[(whole * cycle_steps(run)).between(*span)]
    return known[cycle == whole.max()] if len(whole) else known.head(0)


def profile(row: pd.Series, reach: float, end: str = "") -> tuple[Floats, Floats]:
    """a, and F there, of one recorded profile or part."""
    count = sum(name.removeprefix("profile_").isdigit() for name in map(str, row.index))
    loss = row[[f"profile{end}_{k}" for k in range(count)]].to_numpy(float)
    return places(reach, count // 2), loss
