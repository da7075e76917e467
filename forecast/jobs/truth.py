"""What became of the forecasts of one run: beside the truth, the naive and the seasonal naive forecast.

    runs/2024-01-05-3f1c.../forecasts.parquet     y_pred, naive, seasonal_naive of each step
    source, read up to as_of                      the truth of some steps; the others wait
                          |
    scores/2024-01-05-3f1c....parquet             a row for each series: mean errors, what intervals held, the surprise

A file of scores in which nothing waits is never written again: it holds the truth as it was first complete, and stays
when its run is removed. The forecasts of series that fell back are the seasonal naive ones, and marked.

Prices of Yahoo are restated: after a split of two, all rows before it are halved. There the truth is brought back into
the units of the forecast, by the value at its cutoff as it reads now and as it read then.
"""

import json
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import sources

from . import output
from .clock import AsOf
from .config import Job
from .opened import Opened
from .parts import parts
from .rows import read

SCORES = "scores"
USUAL = 80.0  # percent: the interval whose coverage is counted, or the nearest to it

COLUMNS = (
    *("unique_id", "target", "model", "model_version", "source", "cutoff", "last", "steps", "known"),
    *("error", "naive", "seasonal_naive", "held", "miss", "z"),
)

_ABOUT = b"run"


def truths(job: Job, opened: Opened, as_of: AsOf, since: int) -> pd.DataFrame:
    """Returns what happened: `unique_id, target, ds, y`, one row for each value that is known.

    Args:
        since: The first stamp that is wanted, in nanoseconds.

    Raises:
        SourceError: The source failed.
    """
    found = []
    for part in parts(job):
        for source, called in part.named():
            panel = read(job, opened, as_of, source, called).panel
            late = panel.ds >= since
            ids = np.repeat(np.arange(len(panel.ids)), np.diff(panel.offsets))[late]
            for target in opened.pipeline.spec.targets:
                y = panel.values[late, panel.column(target)].astype(np.float64)
                names = np.array(panel.ids, object)[ids]
                found.append(pd.DataFrame({"unique_id": names, "target": target, "ds": panel.ds[late], "y": y}))
    table = pd.concat(found, ignore_index=True)
    table = table[np.isfinite(table["y"])]
    return table.drop_duplicates(["unique_id", "target", "ds"], keep="last")


def forecasts(path: Path) -> pd.DataFrame:
    """Returns the rows of a table of forecasts, stamps in nanoseconds."""
    table = pq.read_table(path)
    for name in ("ds", "cutoff"):
        at, zone = table.schema.get_field_index(name), table.schema.field(name).type.tz
        table = table.set_column(at, name, pc.cast(pc.cast(table[name], pa.timestamp("ns", zone)), pa.int64()))
    frame: pd.DataFrame = table.to_pandas()
    return frame


def scored(table: pd.DataFrame, truth: pd.DataFrame, restated: bool = False) -> pd.DataFrame:
    """Returns a row for each series and target of some forecasts.

    Args:
        table: Forecasts of one run.
        truth: See `truths`.
        restated: Whether the truth is in units of now, and the forecasts in those of their cutoff.

    Returns:
        `unique_id, target, model, model_version, source, cutoff, last`; `steps` and `known`, how many were forecast and
        have a truth; the mean absolute errors `error, naive, seasonal_naive` over those; `held`, the share of them in
        the interval; `z`, the error of the first step over its usual deviation, as the interval has it; `miss`, that
        error itself. NaN where nothing is known.

    Example:
        >>> table = pd.DataFrame({"unique_id": "a", "target": "y", "model": "m", "model_version": 1, "source": "model",
        ...     "cutoff": 0, "ds": [1, 2], "step": [1, 2], "y_pred": [2.0, 2.0], "naive": 1.0, "seasonal_naive": 1.0})
        >>> truth = pd.DataFrame({"unique_id": ["a"], "target": "y", "ds": [1], "y": [3.0]})
        >>> scored(table, truth)[["steps", "known", "error", "naive"]].values.tolist()
        [[2.0, 1.0, 1.0, 2.0]]
    """
    key = ["unique_id", "target"]
    table = table.merge(truth, on=[*key, "ds"], how="left")
    if restated:
        then = table[[*key, "cutoff"]].rename(columns={"cutoff": "ds"}).merge(truth, on=[*key, "ds"], how="left")["y"]
        ratio = table["naive"].to_numpy() / then.to_numpy()
        table["y"] *= np.where(np.isfinite(ratio) & (ratio > 0), ratio, 1.0)
    known = table["y"].notna()
    errors = {name: (table["y"] - table[of]).abs() for name, of in _ERRORS.items()}
    ends = _ends(list(table.columns))
    held = pd.Series(np.nan, table.index)
    deviation = held.copy()
    if ends is not None:
        low, high, level = table[ends[0]], table[ends[1]], ends[2]
        held = ((table["y"] >= low) & (table["y"] <= high)).astype(float).where(known & low.notna())
        deviation = (high - low) / (2 * NormalDist().inv_cdf(0.5 + level / 200))
    first = table["step"] == 1
    miss = (table["y"] - table["y_pred"]).where(first)
    z = miss / deviation.where(deviation > 0)
    one = table.assign(**errors, known=known, held=held, miss=miss, z=z)
    how: dict[str, Any] = dict.fromkeys(("model", "model_version", "source", "cutoff"), "first")
    how |= {"ds": "max", "step": "size", "known": "sum"} | dict.fromkeys((*_ERRORS, "held"), "mean")
    how |= dict.fromkeys(("miss", "z"), "first")  # pandas takes the first that is not missing
    found = one.groupby(key, sort=True, as_index=False).agg(how).rename(columns={"ds": "last", "step": "steps"})
    return found[list(COLUMNS)]


_ERRORS = {"error": "y_pred", "naive": "naive", "seasonal_naive": "seasonal_naive"}


def _ends(columns: list[str]) -> tuple[str, str, float] | None:
    """Returns the columns of the interval next to the usual one, and its level; None where there is none."""
    levels = [(abs(float(name[10:]) - USUAL), name[10:]) for name in columns if name.startswith("y_pred_lo_")]
    if not levels:
        return None
    level = min(levels)[1]
    return f"y_pred_lo_{level}", f"y_pred_hi_{level}", float(level)


def is_restated(job: Job) -> bool:
    """Returns whether a job's source rewrites earlier rows, all by one ratio."""
    return getattr(sources.registry.load(sources.split_locator(job.source)[0]), "RESTATES", False)


def keep(path: Path, table: pd.DataFrame, run: dict[str, Any]) -> None:
    """Writes the scores of a run, with what is known of it: whole, or not at all."""
    kept = pa.Table.from_pandas(table, preserve_index=False)
    output.write(kept.replace_schema_metadata({_ABOUT: json.dumps(run).encode()}), path)


def about(path: Path) -> dict[str, Any] | None:
    """Returns what is known of the run that was scored; None where its scores are not there, or damaged."""
    try:
        found: dict[str, Any] = json.loads((output.metadata(path) or {})[_ABOUT])
    except (KeyError, ValueError):
        return None
    return found
