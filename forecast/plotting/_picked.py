"""What a picture shows of its data: which series, target and cutoffs, and in which words its title says so.

series=None     the first that has forecasts; the title says "b (1 of 6 series)"
cutoff=None     the last whose whole truth is known
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.errors import ConfigError, DataError, UnknownName
from pipelines.panel import Panel

from ..text import number

if TYPE_CHECKING:
    from ..evaluation.backtest import Backtest

SHOWN = 120  # one-step forecasts in one picture
PAST = 20  # rows before the cutoff, at least


def series_number(panel: Panel, series: Any) -> int:
    """Returns the number of a series; UnknownName where there is none of this name."""
    if str(series) not in panel.ids:
        raise UnknownName.of("series", str(series), panel.ids[:50])
    return panel.ids.index(str(series))


def one_of(kind: str, name: str | None, choices: tuple[str, ...]) -> str:
    """Returns the name, or the first choice where none is given; UnknownName where it is no choice."""
    if name is None:
        return choices[0]
    if name not in choices:
        raise UnknownName.of(kind, str(name), choices)
    return name


def series_and_target(backtests: Sequence[Backtest], series: str | None, target: str | None) -> tuple[int, int]:
    """Returns the numbers of the series and of the target; by default the first series that has most to show.

    Raises:
        UnknownName: There is no such series or target.
        DataError: The series has no forecast.
    """
    panel, targets = backtests[0].panel, backtests[0].targets
    k = targets.index(one_of("target", target, targets))
    there = np.sum(
        [np.isin(np.arange(len(panel.ids)), backtest.index.series) for backtest in backtests], axis=0
    )  # (S,)
    if not there.any():
        raise DataError(f"A backtest must hold a forecast. Received: none on {backtests[0].part}. Give more rows.")
    s = int(np.argmax(there)) if series is None else series_number(panel, series)
    if not there[s]:
        raise no_forecast(panel.ids[s], (panel.ids[i] for i in np.flatnonzero(there)))
    return s, k


def no_forecast(series: str, there: Iterable[str]) -> DataError:
    """Returns the error for a series that nothing was forecast of."""
    names = list(there)
    some = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return DataError(
        f"The series to draw must have forecasts. Received: {series!r}, which has none. Choose from: {some}"
    )


def windows(backtest: Backtest, s: int, k: int, cutoff: Any) -> np.ndarray:
    """Returns which windows to draw: one, or where the horizon is one row, so many in a row.

    Raises:
        ConfigError: There is no forecast from this cutoff.
    """
    panel, index = backtest.panel, backtest.index
    which = np.flatnonzero(index.series == s)
    single = index.spec.horizon == 1
    if cutoff is not None:
        ds = panel.ds[index.cutoffs[which]]
        wanted = instant(panel, s, cutoff)
        if wanted not in ds:
            nearest = int(ds[np.argmin(np.abs(ds - wanted))])
            raise ConfigError(
                f"`cutoff` must be one that was forecast from: {many(len(ds), 'stamp')}, {panel.stamp(int(ds[0]), s)} "
                f"to {panel.stamp(int(ds[-1]), s)}. Received: {cutoff!r}. The nearest is {panel.stamp(nearest, s)}."
            )
        first = int(np.flatnonzero(ds == wanted)[0])
        return which[first : first + (SHOWN if single else 1)]
    if single:
        return which[-SHOWN:]
    known = ~np.isnan(backtest.y_true[which, :, k])
    whole = np.flatnonzero(known.all(axis=1))
    return which[[whole[-1] if len(whole) else int(np.flatnonzero(known.sum(axis=1) == known.sum(axis=1).max())[-1])]]


def instant(panel: Panel, s: int, stamp: Any) -> int:
    """Returns a stamp as the panel keeps it; one without a time zone is what the clock of the series shows.

    Raises:
        ConfigError: It is no date; or no integer, where the series has no dates.
    """
    try:
        if not panel.dated:
            return int(stamp)
        when = pd.Timestamp(stamp).as_unit("ns")
        if when is pd.NaT:
            raise ValueError
        if when.tz is not None:
            return int(when.value)
        return int(panel.calendars[s].utc(np.array([when.value]))[0])
    except (TypeError, ValueError, AttributeError):
        kind = "a date" if panel.dated else "an integer stamp, because the series have no dates"
        raise ConfigError(f"`cutoff` must be {kind}. Received: {stamp!r}") from None


def past_rows(past: int | None, horizon: int) -> int:
    """Returns how many rows before the cutoff to draw."""
    if past is None:
        return max(PAST, 4 * horizon)
    if isinstance(past, bool) or not isinstance(past, int | np.integer) or past < 0:
        raise ConfigError(f"`past` must be an integer >= 0. Received: {past!r}")
    return int(past)


def stamps(panel: Panel, s: int, rows: slice | np.ndarray) -> np.ndarray:
    """Returns stamps of rows as datetime64 on the clock of the series, or as integers."""
    return np.asarray(panel.stamps_of(np.asarray(panel.ds[rows]), s))


def values(panel: Panel, column: str, rows: slice) -> np.ndarray:
    """Returns a copy of one column, float64."""
    return np.array(panel.values[rows, panel.column(column)], np.float64)


def maes(backtest: Backtest, which: np.ndarray, k: int, steps: slice = slice(None), unit: str = "") -> str:
    """Returns "1.310 dollars (naive 1.200)" for some windows: over what happened and both had forecast."""
    truth, mine, naive = (
        y[which, steps, k] for y in (backtest.y_true, backtest.y_pred[backtest.model], backtest.y_pred["naive"])
    )
    there = ~np.isnan(truth + mine + naive)
    if not there.any():
        return "unknown, nothing was observed"
    model, bar = (float(np.abs(y - truth)[there].mean()) for y in (mine, naive))
    return f"{number(model)}{unit and ' '}{unit} (naive {number(bar)})"


def name_of(panel: Panel, s: int, target: str) -> str:
    """Returns "Close", "Close of GOOG", or "Close of GOOG (1 of 6 series)"."""
    if len(panel.ids) > 1:
        return f"{target} of {panel.ids[s]} (1 of {len(panel.ids):,} series)"
    return target if panel.ids[s] == "series" else f"{target} of {panel.ids[s]}"


def with_unit(name: str, unit: str) -> str:
    """Returns "Close, dollars"."""
    return f"{name}, {unit}" if unit else name


def many(count: int, what: str) -> str:
    """Returns "1 row" or "1,200 rows"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
