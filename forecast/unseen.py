"""Which rows a forecaster has not seen, and how an update cuts them.

    train           validation     calibration, test, later rows
    taught the      chose the      nobody saw them: the guard of an update lies here, by default
    weights         weights

    after it
    train ------------------------------------------| validation = guard | test starts after the last row

In stamps where series are cut at common ones, else in each series' own rows.

Axes: `S` series.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, DataError
from pipelines.panel import Panel
from pipelines.splits import Splits

if TYPE_CHECKING:
    from .forecaster import Forecaster

SHARE = 0.2  # of the rows that nobody saw yet, for the guard
FEWEST = 20  # rows of the guard, where the horizon asks for no more


def refuse_nothing_new(forecaster: Forecaster, panel: Panel) -> None:
    """Raises DataError where no row came after the last that the forecaster knew."""
    known = known_until(forecaster, panel)
    ends = panel.ds[panel.offsets[1:] - 1]
    limits = np.array([known.get(name, known.get("*", -math.inf)) for name in panel.ids], np.float64)
    if (ends > limits).any():
        return
    raise DataError(
        "An update needs rows after the last that the forecaster knows. Received: none after "
        f"{panel.stamp(max(known[name] for name in known if name == '*' or name in panel.ids))}; the latest is of "
        f"{panel.stamp(int(ends.max()))}. Give newer rows, or train again."
    )


def known_until(forecaster: Forecaster, panel: Panel) -> dict[str, int]:
    """Returns the last stamp that a forecaster knows: "*" of all series, or by series where each has its own clock.

    Args:
        panel: Later rows, dated as those of the forecaster.
    """
    about = forecaster.manifest_.get("data", {})
    if "until" in about:
        return {name: int(stamp) for name, stamp in about["until"].items()}
    if not about:
        return until(forecaster.panel_)
    if not panel.dated:  # a bundle that says no more: of several series, the longest one's
        return {"*": int(about["last"])}
    last = np.array([pd.Timestamp(about["last"]).as_unit("ns").value])
    return {"*": int(panel.calendars[0].utc(last)[0])}


def until(panel: Panel) -> dict[str, int]:
    """Returns the last stamp of a panel: "*" of all series, or by series where each has its own clock."""
    if panel.dated:
        return {"*": int(panel.ds.max())}
    return {name: int(panel.ds[panel.offsets[s + 1] - 1]) for s, name in enumerate(panel.ids)}


def cuts(
    panel: Panel, splits: Splits, horizon: int, guard: int | None, recent: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first recent row and the first guarded row of each series, `(S,)` each.

    Args:
        splits: As the weights were learned: from train, and chosen by validation.
        horizon: Rows of a future.
        guard, recent: How many rows, see `forecast.updating.update`.

    Raises:
        DataError: There are too few rows for a guard.
        ConfigError: A number of rows is none, or too small.
    """
    for name, size in (("guard", guard), ("recent", recent)):
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise ConfigError(f"`{name}` must be a number of rows >= 1. Received: {size!r}")
    unseen, unlearned = splits.bounds[:, 2], splits.bounds[:, 1]
    shared = splits.starts is not None
    free, left = (_rows_from(panel, first, shared) for first in (unseen, unlearned))
    G = max(FEWEST, horizon, math.ceil(SHARE * free)) if guard is None else guard
    if horizon > G:
        raise ConfigError(f"`guard` must hold one future, {horizon:,} rows. Received: {guard}. Raise it.")
    if guard is None and free < G:
        other = f", or choose guard={G}, which takes rows that the weights were chosen by, too" if left >= G else ""
        raise DataError(
            f"The guard of an update needs {G:,} rows that the weights have neither learned from nor were chosen by. "
            f"Received: {free:,} such rows. Give {G - free:,} more{other}."
        )
    if left < G:
        raise DataError(
            f"The guard of an update needs {G:,} rows that the weights have not learned from. Received: {left:,} such "
            f"rows. Give {G - left:,} more, or a smaller `guard`."
        )
    back = recent or max(2 * (left - G), 4 * G)
    starts, ends = panel.offsets[:-1], panel.offsets[1:]
    if shared:
        stamps = np.unique(panel.ds)
        places = [max(len(stamps) - G - back, 0), len(stamps) - G]
        rows = [panel.ds[panel.rows(s)] for s in range(len(panel.ids))]
        first, judged = (starts + np.array([np.searchsorted(ds, stamps[place]) for ds in rows]) for place in places)
        return first, judged
    judged = np.maximum(ends - G, unseen if guard is None else unlearned)
    return np.maximum(judged - back, starts), judged


def moved(forecaster: Forecaster, panel: Panel, before: Splits, judged: np.ndarray) -> Splits:
    """Returns the split after an update: train up to the guard, which is validation, and test after the last row.

    Args:
        before: The split until then.
        judged: The first guarded row of each series `(S,)`.
    """
    ends = panel.offsets[1:]
    bounds = np.column_stack([panel.offsets[:-1], judged, ends, ends, ends])
    if before.starts is not None:
        first, after = int(panel.ds[judged[judged < ends]].min()), int(panel.ds.max()) + 1
        return Splits(bounds, {"validation": first, "calibration": after, "test": after})
    tails = {}
    for s, name in enumerate(panel.ids):
        after = int(panel.ds[ends[s] - 1]) + 1
        tails[name] = [int(panel.ds[judged[s]]) if judged[s] < ends[s] else after, after, after]
    known = forecaster.manifest_.get("split", {}) if forecaster._splits is None else vars(forecaster._splits)
    return Splits(bounds, None, {**known.get("tails", {}), **tails})  # series without rows here keep theirs


def _rows_from(panel: Panel, first: np.ndarray, shared: bool) -> int:
    """Returns how many rows there are from a row of each series on, `(S,)`.

    Args:
        shared: Count stamps that series share; else rows of the series that has most of them.
    """
    ends = panel.offsets[1:]
    if not shared:
        return int((ends - first).max())
    some = first < ends
    return len(np.unique(panel.ds[panel.ds >= panel.ds[first[some]].min()])) if some.any() else 0
