"""Forecasts one shard of series. A finished shard is a file, so that a killed run goes on where it stood.

    series by name   a b c d | e f g h | i j            shard_size 4
    stopped by gates     c                              its forecast is the seasonal naive one, source "fallback"
    beside each forecast                                naive: the last value; seasonal_naive: the season before
    network          a b   d   e f g h   i j            source "model"; a series that fails here falls back, too

    shard-00000.parquet     rows of a, b, c, d; in its metadata, who failed while it was scored

A shard that raises is done again by halves, until the series at fault stands alone.

Axes: `H` steps, `K` targets.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.errors import DataError, SeriesTooShort
from pipelines.panel import Panel
from pipelines.windows import WindowIndex

from ..evaluation.frames import long_frame
from ..rolling import roll
from ..uncertainty import bars
from . import output
from .gates import Failure, isolate, season_length
from .naive import naive_forecasts
from .opened import Opened
from .store import writing
from .work import Held, Version, held

NAIVE = ("naive", "seasonal_naive")

_FAILED, _SERIES = b"failed", b"series"
_NO_WINDOW = "Its last rows hold missing values that cleaning does not fill."


@dataclass(frozen=True)
class Shard:
    """Series that are forecast and kept together.

    Attributes:
        path: The file of their forecasts.
        rows: The panel of their part.
        ids: Their names; all of them lie in the panel.
        stopped: Those that the gates stopped.
        version: What forecasts them.
        run_id: Of the run.
        zone: Of the stamps in the file.
    """

    path: Path
    rows: Path
    ids: tuple[str, ...]
    stopped: frozenset[str]
    version: Version
    run_id: str
    zone: str

    @property
    def finished(self) -> list[Failure] | None:
        """Who failed while it was scored; None where its file is not there, or is not whole, or is of other series."""
        metadata = output.metadata(self.path)
        if metadata is None or metadata.get(_SERIES) != _names(self.ids):
            return None
        return failures_in(metadata)


def schema(opened: Opened, zone: str) -> pa.Schema:
    """Returns the columns of the forecasts; stamps carry the zone of the rows, where they have one."""
    stamp = pa.timestamp("ns", tz=zone or None)
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
            *((name, pa.float64()) for name in NAIVE),
            *((name, pa.float64()) for name in opened.ends),
        ]
    )


def failures_in(metadata: Mapping[bytes, bytes] | None) -> list[Failure]:
    """Returns who failed while a shard was scored, from the metadata of its table."""
    return [Failure(**one) for one in json.loads((metadata or {})[_FAILED])]


def score(shard: Shard) -> list[Failure]:
    """Forecasts a shard and writes its file; returns the series that failed meanwhile."""
    table = forecasts(shard, held(shard.version))
    with writing(shard.path.parent):
        output.write(table, shard.path)
    return failures_in(table.schema.metadata)


def forecasts(shard: Shard, bundle: Held) -> pa.Table:
    """Returns the forecasts of a shard; `failures_in` its metadata are the series that failed meanwhile."""
    whole = Panel.open(shard.rows)
    place = {name: s for s, name in enumerate(whole.ids)}
    panel = whole.take([place[name] for name in shard.ids])
    good = [s for s, name in enumerate(panel.ids) if name not in shard.stopped]

    def forecast(part: Panel) -> pd.DataFrame:
        fitted = bundle.model.fitted_
        ends = bars(bundle.model.intervals_, bundle.opened.levels)
        return roll(fitted, part, bundle.opened.steps, None, ends)

    frames, refused = isolate(panel.take(good), forecast) if good else ([], [])
    skipped = [name for frame in frames for name in frame.attrs["skipped"]]
    for frame in frames:
        frame.attrs.clear()  # pandas would copy them, thousands of names, with each column that is taken out
    failed = [Failure(name, "score", "no_window", _NO_WINDOW) for name in skipped]
    failed += [Failure(name, "score", _reason(error), str(error)) for name, error in refused]
    lost = shard.stopped | {failure.unique_id for failure in failed}
    beside = _naive(panel, bundle.opened)
    rows = [frame.assign(source="model") for frame in frames]
    rows += [_fallback(panel, [s for s, name in enumerate(panel.ids) if name in lost], bundle.opened, beside[1])]
    about = {_FAILED: json.dumps([asdict(failure) for failure in failed]).encode(), _SERIES: _names(shard.ids)}
    frame = _beside(pd.concat([one for one in rows if len(one)] or rows), panel, bundle.opened, beside)
    return _table(frame, bundle.opened, shard).replace_schema_metadata(about)


def _naive(panel: Panel, opened: Opened) -> tuple[np.ndarray, np.ndarray]:
    """Returns the naive `(S, K)` and the seasonal naive forecasts `(S, H, K)`."""
    spec = opened.pipeline.spec
    ahead = np.arange(spec.window.gap + 1, spec.window.gap + opened.steps + 1)
    return naive_forecasts(panel, spec.targets, ahead, [season_length(opened, one) for one in panel.calendars])


def _fallback(panel: Panel, lost: list[int], opened: Opened, season: np.ndarray) -> pd.DataFrame:
    """Returns the seasonal naive forecasts of some series, by number; none of one that has no value to repeat."""
    spec = opened.pipeline.spec
    lost = [s for s in lost if not np.isnan(season[s]).any()]
    own, rows = panel.take(lost), spec.window.gap + opened.steps
    ahead, _ = own.extend(rows)
    index = WindowIndex(ahead.offsets[1:] - rows - 1, np.arange(len(lost)), spec.window.replace(horizon=opened.steps))
    return long_frame(ahead, index, spec.targets, {"y_pred": season[lost]}).assign(source="fallback")


def _beside(
    frame: pd.DataFrame, panel: Panel, opened: Opened, forecasts: tuple[np.ndarray, np.ndarray]
) -> pd.DataFrame:
    """Returns the rows with the naive forecasts beside them."""
    last, season = forecasts
    s = pd.Index(panel.ids).get_indexer(pd.Index(frame["unique_id"]))
    k = pd.Index(opened.pipeline.spec.targets).get_indexer(pd.Index(frame["target"]))
    return frame.assign(naive=last[s, k], seasonal_naive=season[s, frame["step"].to_numpy(int) - 1, k])


def _table(frame: pd.DataFrame, opened: Opened, shard: Shard) -> pa.Table:
    columns, manifest = schema(opened, shard.zone), opened.manifest
    frame = frame.assign(model=manifest["name"], model_version=manifest["version"], run_id=shard.run_id)
    return pa.Table.from_pandas(frame.reindex(columns=columns.names), schema=columns, preserve_index=False)


def _names(ids: Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest().encode()


def _reason(error: DataError) -> str:
    return "no_window" if isinstance(error, SeriesTooShort) else "refused"
