"""Who is to look at a forecast: it crosses a threshold that the last known value does not.

alerts: [{name: fall, below: -0.05, change: true}, {name: limit, above: 90, series: ["pump-*"]}]

value    |            x  x        above: 90
90 ------|---------x----------
         |   o  o                 o known, x forecast: the first step beyond it is in the table
         +---------------------

alerts.parquet     alert, unique_id, target, ds, step, cutoff, source, side, value, threshold, last
"""

import fnmatch
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UnknownName

from .opened import Opened
from .settings import Alert

FILE = "alerts.parquet"
NAMED = 100  # alerts that run.json and the ping name

_SIDES = ("above", "below")
_KEYS = ["alert", "unique_id", "target", "ds", "step", "cutoff", "source", "side", "value", "threshold", "last"]


def check(alerts: Sequence[Alert], opened: Opened) -> None:
    """Refuses an alert on what the forecasts of a bundle do not have.

    Raises:
        UnknownName: There is no such column or target.
    """
    numbers, targets = ["y_pred", *opened.ends], opened.pipeline.spec.targets
    for alert in alerts:
        if alert.column not in numbers:
            raise UnknownName.of("column of the forecasts", alert.column, numbers)
        if alert.target is not None and alert.target not in targets:
            raise UnknownName.of("target", alert.target, targets)


def raised(alerts: Sequence[Alert], shards: Sequence[Path], columns: pa.Schema) -> pa.Table:
    """Returns the alerts that the forecasts of all shards raise, at most one a series, target and side."""
    parts = [
        found
        for shard in shards
        for frame in (pq.read_table(shard).to_pandas(),)
        for alert in alerts
        for found in _of(alert, frame)
    ]
    stamp = columns.field("ds").type
    kinds: dict[str, Any] = dict.fromkeys(_KEYS, pa.string()) | dict.fromkeys(
        ("value", "threshold", "last"), pa.float64()
    )
    kinds |= {"ds": stamp, "cutoff": stamp, "step": pa.int32()}
    schema = pa.schema(list(kinds.items()))
    if not parts:
        return schema.empty_table()
    table = pd.concat(parts, ignore_index=True).sort_values(["alert", "unique_id", "target", "side"])
    return pa.Table.from_pandas(table[_KEYS], schema=schema, preserve_index=False)


def _of(alert: Alert, frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns what one alert finds in the forecasts of a shard, on each side."""
    if alert.target is not None:
        frame = frame[frame["target"] == alert.target]
    if alert.series:
        names = [
            name for name in frame["unique_id"].unique() if any(fnmatch.fnmatchcase(name, p) for p in alert.series)
        ]
        frame = frame[frame["unique_id"].isin(names)]
    value, last = frame[alert.column].to_numpy(), frame["naive"].to_numpy()
    found = []
    for side, sign in zip(_SIDES, (1, -1), strict=True):
        limit = getattr(alert, side)
        if limit is None:
            continue
        threshold = last + limit * np.abs(last) if alert.change else np.full(len(last), limit)
        with np.errstate(invalid="ignore"):
            beyond = (sign * value > sign * threshold) & ~(sign * last > sign * threshold)
        if alert.change:
            beyond &= last != 0
        table = frame.assign(alert=alert.name, side=side, value=value, threshold=threshold, last=last)[beyond]
        found.append(table.sort_values("step").drop_duplicates(["unique_id", "target"]))
    return found


def about(alerts: Sequence[Alert], table: pa.Table) -> dict[str, Any]:
    """Returns what run.json and the ping say: how many of each were raised, and the first of them."""
    counts = Counter(table["alert"].to_pylist())
    first = table.slice(0, NAMED).to_pandas()
    first = first.assign(ds=first["ds"].astype(str), cutoff=first["cutoff"].astype(str))
    return {
        "raised": len(table),
        "by_name": {alert.name: counts[alert.name] for alert in alerts},
        "first": first.astype(object).to_dict("records"),
    }
