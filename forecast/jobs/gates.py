"""What must hold of each series before anything is scored. A series that does not pass is named, with a reason.

    reason       what was found                                         setting that decides
    no_data      the source was asked for it, and has nothing of it
    future       rows after as_of, by the machine's own clock           gates.future
    text         a text where a number belongs
    duplicates   stamps that come twice                                 gates.duplicates
    unclean      a fault that the bundle's cleaning refuses
    too_short    too few rows                                           gates.history
    stale        rows that are due have not come                        gates.freshness
    non_finite   values missing or infinite in the lookback             gates.non_finite
    jump         all late rows far above or below all earlier ones      gates.jump
    constant     a target that stands still                             gates.constant
    drift        late changes spread otherwise than those before        gates.drift

The first that a series does not pass is its reason. How many series may fail, `max_failed` says; what becomes of them,
`scoring`.

Axes: `S` series, `W` rows looked at, `C` columns, `K` targets.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pipelines.calendars import Calendar
from pipelines.cleaning import clean
from pipelines.errors import DataError
from pipelines.panel import Panel

from . import drift
from .clock import AsOf
from .config import Gates
from .drift import BLOCK
from .opened import Opened
from .rows import Read

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """Why a series was not forecast by the network.

    Attributes:
        unique_id: Its name.
        stage: "read", "gates" or "score".
        reason: A code: one of those above, or "no_window" or "refused" from scoring.
        message: What was found.
    """

    unique_id: str
    stage: str
    reason: str
    message: str


def isolate(panel: Panel, work: Callable[[Panel], T]) -> tuple[list[T], list[tuple[str, DataError]]]:
    """Returns the results of some work on a panel, and the series that it cannot be done for.

    Where the work fails, it is done again for each half: so one series in a thousand costs ten more calls.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"unique_id": list("aabbcc"), "ds": [0, 1] * 3, "y": [1.0, 1, 0, 0, 2, 2]})
        >>> def inverted(panel):
        ...     if (panel.values == 0).any():
        ...         raise DataError("division by zero")
        ...     return panel.ids
        >>> isolate(Panel.from_frame(rows), inverted)
        ([('a',), ('c',)], [('b', DataError('division by zero'))])
    """
    try:
        return [work(panel)], []
    except DataError as error:
        if len(panel.ids) == 1:
            return [], [(panel.ids[0], error)]
    middle = len(panel.ids) // 2
    done, failed = isolate(panel.take(range(middle)), work)
    more, others = isolate(panel.take(range(middle, len(panel.ids))), work)
    return done + more, failed + others


def check(read: Read, opened: Opened, gates: Gates, as_of: AsOf) -> tuple[Panel, list[Failure], dict[str, float]]:
    """Returns the cleaned rows of all series that can be cleaned, the series that may not be forecast, and those that
    have drifted, with their PSI."""
    failures = {failure.unique_id: failure for failure in _as_read(read, gates)}
    cleaned, refused = isolate(read.panel, lambda panel: clean(panel, opened.config.cleaning)[0])
    for name, error in refused:
        failures.setdefault(name, Failure(name, "gates", "unclean", str(error)))
    panel = joined(cleaned, read.panel)
    for failure in _as_cleaned(panel, opened, gates, as_of):
        failures.setdefault(failure.unique_id, failure)
    psi = drift.population(panel, opened)
    limit = drift.LIMIT if gates.drift is None else gates.drift
    drifted = {panel.ids[s]: round(float(psi[s]), 3) for s in np.flatnonzero(psi > limit)}
    if gates.drift is not None:
        for name, value in drifted.items():
            found = (
                f"The latest changes are spread otherwise than those before, PSI {value:.2f}; at most {limit:g} may be."
            )
            failures.setdefault(name, Failure(name, "gates", "drift", found))
    return panel, [failures[name] for name in read.ids if name in failures], drifted


def joined(panels: list[Panel], like: Panel) -> Panel:
    """Returns panels of the same columns as one; an empty one like another where there are none."""
    if len(panels) == 1:
        return panels[0]
    parts = panels or [like.take([])]
    return Panel(
        ids=tuple(name for part in parts for name in part.ids),
        offsets=np.cumsum([0, *(n for part in parts for n in np.diff(part.offsets))]),
        ds=np.concatenate([part.ds for part in parts]),
        values=np.concatenate([part.values for part in parts]),
        columns=like.columns,
        calendars=tuple(calendar for part in parts for calendar in part.calendars),
        unit=like.unit,
    )


def _as_read(read: Read, gates: Gates) -> Iterator[Failure]:
    """Yields what fails before cleaning, which mends some of it."""
    panel = read.panel
    for name, why in read.missing:
        yield Failure(name, "read", "no_data", why)
    for name in read.unborn:
        yield Failure(name, "read", "future", "All rows lie after as_of.")
    for s in np.flatnonzero(read.later):
        found = f"{read.later[s]:,} rows lie after as_of; they were left out. The clock or the data are wrong."
        yield Failure(panel.ids[s], "read", "future", found)
    for s in np.flatnonzero(read.texts):
        found = f"{read.texts[s]:,} values are texts; they were taken as missing."
        yield Failure(panel.ids[s], "read", "text", found)
    if gates.duplicates is None or not len(panel):
        return
    same = np.concatenate([[False], panel.ds[1:] == panel.ds[:-1]])
    same[panel.offsets[:-1]] = False
    count, rows = np.add.reduceat(same.astype(np.int64), panel.offsets[:-1]), np.diff(panel.offsets)
    for s in np.flatnonzero(count > gates.duplicates * rows):
        found = f"{count[s]:,} of {rows[s]:,} rows repeat a stamp; at most {gates.duplicates:.2%} may."
        yield Failure(panel.ids[s], "gates", "duplicates", found)


def _as_cleaned(panel: Panel, opened: Opened, gates: Gates, as_of: AsOf) -> Iterator[Failure]:
    pipeline = opened.pipeline
    lookback = pipeline.spec.window.lookback
    need = lookback + pipeline.warmup if gates.history is None else gates.history
    due_since: Callable[[int, Calendar], int] = functools.cache(as_of.due_since)  # most series end together
    columns = [panel.column(name) for name in pipeline.spec.targets]
    rows = np.diff(panel.offsets)
    for s in np.flatnonzero(rows < need):
        yield Failure(panel.ids[s], "gates", "too_short", f"{rows[s]:,} rows; at least {need:,} must be there.")
    if gates.freshness is not None:
        for name, end, calendar in zip(panel.ids, panel.offsets[1:].tolist(), panel.calendars, strict=True):
            last = int(panel.ds[end - 1])
            if (due := due_since(last, calendar)) > gates.freshness:
                stamp = str(calendar.stamps(np.array([last]))[0]).removesuffix(" 00:00:00")
                found = f"The last row is of {stamp}; since then, up to {as_of}, {due:,} were due."
                yield Failure(name, "gates", "stale", f"{found} At most {gates.freshness:,} may be.")
    window = max(lookback, *(2 * season_length(opened, calendar) for calendar in set(panel.calendars)), 2)
    for first in range(0, len(panel.ids), BLOCK):
        some = range(first, min(first + BLOCK, len(panel.ids)))
        values = panel.late(some, window)  # (S, W, C)
        yield from _about_values(panel.ids[first:], values, columns, lookback, gates)


def season_length(opened: Opened, calendar: Calendar) -> int:
    """Returns rows per season: the bundle's setting, or what is usual for the calendar."""
    return opened.config.season_length or calendar.season_length


def _about_values(
    ids: tuple[str, ...], values: np.ndarray, columns: list[int], lookback: int, gates: Gates
) -> Iterator[Failure]:
    if gates.non_finite is not None:
        missing = np.isnan(values[:, -lookback:]).mean(axis=(1, 2))
        for s in np.flatnonzero(missing > gates.non_finite):
            found = f"{missing[s]:.1%} of the values in the last {lookback:,} rows are missing or infinite"
            yield Failure(ids[s], "gates", "non_finite", f"{found}; at most {gates.non_finite:.1%} may.")
    targets = values[:, :, columns]  # (S, W, K)
    if gates.jump is not None:
        times = _jumps(np.abs(targets))  # (S, K)
        for s in np.flatnonzero((times > gates.jump).any(axis=1)):
            found = f"The last rows are all {times[s].max():.3g} times above or below all rows before them"
            yield Failure(ids[s], "gates", "jump", f"{found}; at most {gates.jump:g} times is usual.")
    if gates.constant:
        low, high = np.fmin.reduce(targets, axis=1), np.fmax.reduce(targets, axis=1)
        for s in np.flatnonzero((low == high).all(axis=1)):
            found = f"The target stood still at {low[s, 0]:g} over the last {targets.shape[1]:,} rows."
            yield Failure(ids[s], "gates", "constant", found)


def _jumps(sizes: np.ndarray) -> np.ndarray:
    """Returns how many times all late rows are above or below all rows before, `(S, K)`, at the worst place of a jump.

    Args:
        sizes: Absolute values `(S, W, K)`. A jump lies in the later half, so that a season is on its earlier side.
    """
    half = max(1, sizes.shape[1] // 2)
    before_high = np.fmax.accumulate(sizes, axis=1)[:, half - 1 : -1]
    before_low = np.fmin.accumulate(sizes, axis=1)[:, half - 1 : -1]
    since_low = np.fmin.accumulate(sizes[:, ::-1], axis=1)[:, ::-1][:, half:]
    since_high = np.fmax.accumulate(sizes[:, ::-1], axis=1)[:, ::-1][:, half:]
    with np.errstate(divide="ignore", invalid="ignore"):
        up, down = since_low / before_high, before_low / since_high  # 0 / 0 is no jump
    up, down = np.where(before_high > 0, up, 0.0), np.nan_to_num(down, nan=0.0, posinf=np.inf)
    worst: Any = np.fmax(np.fmax.reduce(up, axis=1, initial=0.0), np.fmax.reduce(down, axis=1, initial=0.0))
    return np.asarray(np.nan_to_num(worst, nan=0.0, posinf=np.inf))
