"""Forecasts series shard by shard. A finished shard is a file, so that a killed run goes on where it stood.

    series by name   a b c d | e f g h | i j            shard_size 4
    stopped by gates     c                              its forecast is the seasonal naive one, source "fallback"
    network          a b   d   e f g h   i j            source "model"; a series that fails here falls back, too

    shard-00000.parquet     rows of a, b, c, d; in its metadata, who failed while it was scored

A shard that raises is done again by halves, until the series at fault stands alone.

Axes: `H` steps, `K` targets.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.errors import DataError, SeriesTooShort
from pipelines.panel import Panel
from pipelines.windows import WindowIndex

from ..evaluation.baselines import seasonal_naive
from ..evaluation.frames import long_frame
from ..evaluation.intervals import level_name
from ..forecaster import Forecaster
from ..rolling import roll
from ..uncertainty import bars
from .gates import Failure, isolate, season_length
from .opened import Opened

_FAILED = b"failed"
_NO_WINDOW = "Its last rows hold missing values that cleaning does not fill."


def schema(opened: Opened, zone: str) -> pa.Schema:
    """Returns the columns of the forecasts; stamps carry the zone of the rows, where they have one."""
    stamp = pa.timestamp("ns", tz=zone or None)
    ends = [f"y_pred_{end}_{level_name(level)}" for level in opened.levels for end in ("lo", "hi")]
    return pa.schema(
        [
            ("unique_id", pa.string()),
            ("target", pa.string()),
            ("ds", stamp),
            ("cutoff", stamp),
            ("step", pa.int32()),
            ("model", pa.string()),
            ("model_version", pa.int32()),
            ("run_id", pa.string()),
            ("source", pa.string()),
            ("y_pred", pa.float64()),
            *((name, pa.float64()) for name in ends),
        ]
    )


def failures_in(metadata: Mapping[bytes, bytes] | None) -> list[Failure]:
    """Returns who failed while a shard was scored, from the metadata of its table."""
    return [Failure(**one) for one in json.loads((metadata or {})[_FAILED])]


@dataclass(eq=False)
class Scorer:
    """Forecasts the shards of one run.

    Attributes:
        opened: The bundle.
        model: The same, with its network.
        panel: Cleaned rows.
        raw: Rows as they came: what a series that could not be cleaned falls back on.
        stopped: Names of the series that the gates stopped.
        run_id: Of the run.
    """

    opened: Opened
    model: Forecaster
    panel: Panel
    raw: Panel
    stopped: frozenset[str]
    run_id: str
    _clean: dict[str, int] = field(init=False)
    _raw: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._clean = {name: s for s, name in enumerate(self.panel.ids)}
        self._raw = {name: s for s, name in enumerate(self.raw.ids)}

    def shard(self, ids: Sequence[str]) -> pa.Table:
        """Returns the forecasts of some series; `failures_in` its metadata are those that failed meanwhile."""
        good = [self._clean[name] for name in ids if name in self._clean and name not in self.stopped]
        frames, refused = isolate(self.panel.take(good), self._roll) if good else ([], [])
        skipped = [name for frame in frames for name in frame.attrs["skipped"]]
        failed = [Failure(name, "score", "no_window", _NO_WINDOW) for name in skipped]
        failed += [Failure(name, "score", _reason(error), str(error)) for name, error in refused]
        lost = self.stopped | {failure.unique_id for failure in failed}
        rows = [frame.assign(source="model") for frame in frames]
        rows += [
            frame.assign(source="fallback")
            for name in ids
            if name in lost and (frame := self._fallback(name)) is not None
        ]
        about = {_FAILED: json.dumps([asdict(failure) for failure in failed]).encode()}
        return self._table(rows).replace_schema_metadata(about)

    def _roll(self, panel: Panel) -> pd.DataFrame:
        fitted = self.model.fitted_
        ends = bars(self.model.intervals_, self.opened.levels)
        return roll(fitted.pipeline, fitted.predict, panel, self.opened.steps, None, False, ends)

    def _fallback(self, name: str) -> pd.DataFrame | None:
        """Returns the seasonal naive forecast of a series; None where it has no value to repeat."""
        panel = self.panel.take([self._clean[name]]) if name in self._clean else None
        if panel is None and name in self._raw:
            panel = self.raw.take([self._raw[name]])
        if panel is None:
            return None
        spec, steps = self.opened.pipeline.spec, self.opened.steps
        gap, last = spec.window.gap, len(panel) - 1
        ahead, _ = panel.extend(gap + steps)
        known = np.where(np.isfinite(panel.values), panel.values, np.nan)
        after, m = np.arange(gap + 1, gap + steps + 1), season_length(self.opened, panel.calendars[0])
        y = np.stack([seasonal_naive(known[:, panel.column(c)], [last], after, m) for c in spec.targets], axis=-1)
        if np.isnan(y).any():  # (1, H, K)
            return None
        index = WindowIndex(np.array([last]), np.array([0]), spec.window.replace(horizon=steps))
        return long_frame(ahead, index, spec.targets, {"y_pred": y})

    def _table(self, rows: list[pd.DataFrame]) -> pa.Table:
        columns = schema(self.opened, self.raw.calendars[0].zone)
        if not rows:
            return columns.empty_table()
        manifest = self.opened.manifest
        frame = pd.concat(rows, ignore_index=True).assign(
            model=manifest["name"], model_version=manifest["version"], run_id=self.run_id
        )
        return pa.Table.from_pandas(frame.reindex(columns=columns.names), schema=columns, preserve_index=False)


def _reason(error: DataError) -> str:
    return "no_window" if isinstance(error, SeriesTooShort) else "refused"
