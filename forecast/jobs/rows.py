"""Reads the rows of a run: no row after as_of, no fault of one series that takes the others along.

    source --> DataFrame --> texts among numbers become missing, and are counted
                         --> Panel of the columns that the pipeline needs, series in order of their names
                         --> cut after as_of; what is cut is counted

Axes: `S` series, `R` rows.
"""

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.errors import DataError, UnknownName
from pipelines.panel import Panel
from pipelines.sources import split_locator

from ..prepare import load_rows, value_columns
from .clock import AsOf
from .config import Job
from .opened import Opened

_TEXTS = "texts of the row"  # a column of counts beside the values, until the rows are cut


@dataclass(frozen=True, eq=False)
class Read:
    """Rows up to as_of, as they came.

    Attributes:
        panel: Series that have a row, by name; values that were text are missing.
        texts: How many cells of each series were text `(S,)`.
        later: How many rows of each series lie after as_of, where they should not `(S,)`.
        unborn: Names of the series all of whose rows do.
        cut: How many rows lie after as_of, and were left out.
        missing: Series that the source was asked for and has nothing of: names, and why.
    """

    panel: Panel
    texts: np.ndarray
    later: np.ndarray
    unborn: tuple[str, ...]
    cut: int
    missing: tuple[tuple[str, str], ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of all series in the data."""
        return (*self.panel.ids, *self.unborn, *(name for name, _ in self.missing))

    def digest(self) -> str:
        """Returns the sha256 of all that decides the forecasts: rows, calendars, and what could not be read."""
        panel = self.panel
        calendars = sorted({(calendar.code, calendar.zone) for calendar in panel.calendars})
        about = [panel.fingerprint(), calendars, self.texts.tolist(), (self.later > 0).tolist(), self.unborn]
        about += [name for name, _ in self.missing]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def read(job: Job, opened: Opened, as_of: AsOf, source: str | None = None, called: str = "") -> Read:
    """Returns the rows of a job's source, or of a part of it.

    Args:
        source: The locator of a part; by default the job's.
        called: What to call the only series of a part that does not name it.

    Raises:
        SourceError: The source failed.
        UnknownName: A column is missing.
        DataError: The rows are no panel.
    """
    panel, missing = panel_of(job, opened, as_of, source, called)
    pa.default_memory_pool().release_unused()  # Arrow would keep what reading took: a third of a run's memory
    limits = {calendar: as_of.limit(calendar) for calendar in set(panel.calendars)}
    counts = np.diff(panel.offsets)
    known = panel.ds <= np.repeat([limits[calendar] for calendar in panel.calendars], counts)
    kept = np.diff(np.concatenate([[0], np.cumsum(known)])[panel.offsets])  # (S,): rows are in order of time
    unborn = tuple(name for name, n in zip(panel.ids, kept, strict=True) if not n)
    later = counts - kept
    if later.any():
        panel = panel.until(panel.offsets[:-1] + kept)
    if unborn:
        panel, later = panel.take(np.flatnonzero(kept).tolist()), later[kept > 0]
    texts = np.zeros(len(panel.ids), np.int64)
    if _TEXTS in panel.columns:
        column = panel.values[:, panel.column(_TEXTS)]
        texts = np.add.reduceat(column, panel.offsets[:-1]).astype(np.int64) if len(column) else texts
        panel = panel.select([name for name in panel.columns if name != _TEXTS])
    cut = int((~known).sum())
    if as_of.given or not job.spec.gates.future:  # then the rows ahead are no fault: they do not exist yet
        later, unborn = np.zeros_like(later), ()
    return Read(panel, texts, later, unborn, cut, missing)


def panel_of(
    job: Job, opened: Opened, as_of: AsOf, source: str | None = None, called: str = ""
) -> tuple[Panel, tuple[tuple[str, str], ...]]:
    """Returns all rows of a source, with a column of counts where there is text among numbers; and the series that it
    has nothing of, with the reasons."""
    more = {"text": "keep", "missing": "skip", **_then(job.spec.source, as_of)}
    frame, options = load_rows(source or job.source, opened.config, **more)
    missing = tuple(sorted(frame.attrs.get("missing", {}).items()))
    if called:
        frame.attrs["unique_id"] = called
    columns = value_columns(frame, options["id_col"], options["time_col"])
    needed = opened.pipeline.needs(columns)
    for name in needed:
        if name not in columns:
            raise UnknownName.of("column", name, columns)
    frame, texts = _numbers(frame, needed)
    panel = Panel.from_frame(frame, columns=[*needed, *([_TEXTS] if texts else [])], **options)
    return replace(by_name(panel), notes=()), missing


def _then(locator: str, as_of: AsOf) -> dict[str, str]:
    """Returns the option `as_of` of a source that takes one: the text for a query, else the end of what was known."""
    if ":as_of" in locator:
        return {"as_of": as_of.sql}
    pinned = "as_of" in split_locator(locator)[2]  # the job file itself says which answers are to be used
    return {"as_of": as_of.known} if as_of.given and not pinned else {}


def labels(job: Job, opened: Opened, source: str, column: str) -> dict[str, str]:
    """Returns the value of a column for each series of a source that names its series.

    Raises:
        UnknownName: There is no such column.
        DataError: A series has several values, or none.
    """
    frame, options = load_rows(source, opened.config, text="keep")
    id_col = options["id_col"] or frame.attrs.get("id_col", "unique_id")
    for name in (id_col, column):
        if name not in frame.columns:
            raise UnknownName.of("column", name, [str(one) for one in frame.columns])
    pairs = frame[[id_col, column]].drop_duplicates()
    wrong = pairs[pairs[column].isna() | pairs[id_col].duplicated(keep=False)]
    if len(wrong):
        name = wrong[id_col].iloc[0]
        found = ", ".join(map(repr, pairs.loc[pairs[id_col] == name, column]))
        raise DataError(f"Each series must have one value of {column!r}. Received: {found} for {name!r}. Repair it.")
    return dict(zip(pairs[id_col].astype(str), pairs[column].astype(str), strict=True))


def by_name(panel: Panel) -> Panel:
    """Returns a panel with its series in order of their names."""
    order = sorted(range(len(panel.ids)), key=panel.ids.__getitem__)
    return panel if order == list(range(len(order))) else panel.take(order)


def _numbers(frame: pd.DataFrame, needed: tuple[str, ...]) -> tuple[pd.DataFrame, bool]:
    """Returns the frame with the texts in its value columns missing, and whether there were any."""
    if frame.columns.nlevels > 1:
        return frame, False
    texts = np.zeros(len(frame), np.int64)
    converted = {}
    for name, dtype in frame.dtypes.items():
        if str(name) in needed and (dtype.kind == "O" or isinstance(dtype, pd.StringDtype)):
            values = pd.to_numeric(frame[name], errors="coerce")
            texts += (values.isna() & frame[name].notna()).to_numpy(bool)
            converted[str(name)] = values.astype(np.float64)
    if not converted:
        return frame, False
    attrs = frame.attrs
    frame = frame.assign(**converted, **{_TEXTS: texts})
    frame.attrs.update(attrs)
    return frame, bool(texts.any())
