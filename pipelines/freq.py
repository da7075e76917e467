"""What freq or exchange stamps fit, where nobody said it."""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from .calendars import DAY, Calendar, as_index, sessions_between

# What the usual sampling intervals are, in seconds: a median step within 5 % of one of these is taken for it.
_NICE_SECONDS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200)

# Exchanges to compare daily rows with when nobody said which; the larger ones, most traded first.
_CANDIDATES = ("XNYS", "XLON", "XTKS", "XSHG", "XHKG", "XETR", "XPAR", "XTSE", "XASX", "XBOM", "XSWX", "XKRX")


def infer(ds: np.ndarray, zone: str = "") -> str | None:
    """Returns the pandas frequency of sorted stamps, also where rows are missing or jitter; None where there is none.

    Args:
        ds: UTC nanoseconds `(T,)`, oldest first, without duplicates.
        zone: The time zone that days are counted in.

    Example:
        >>> infer(pd.to_datetime(["2024-01-05", "2024-01-08", "2024-01-09", "2024-01-11"]).as_unit("ns").asi8)
        'B'
    """
    if len(ds) < 2:
        return None
    local = Calendar("D", zone).local(ds)
    typical = int(np.median(np.diff(local if np.diff(local).min() > 0 else ds)))
    if typical < 0.95 * DAY:
        for seconds in _NICE_SECONDS:
            if abs(typical - seconds * 1e9) <= 0.05 * seconds * 1e9:
                return _name(seconds * 10**9)
        steps, counts = np.unique(np.diff(ds), return_counts=True)
        return _name(int(steps[counts.argmax()])) if counts.max() * 2 > len(ds) else None
    index = as_index(local).normalize()
    days = np.diff(index.as_unit("ns").asi8) // DAY
    if typical < 1.5 * DAY or (days.min() == 1 and typical < 3 * DAY):
        weekend_between = len(pd.bdate_range(index[0], index[-1])) <= (index[-1] - index[0]).days
        return "B" if weekend_between and not (index.day_of_week >= 5).any() else "D"
    if (days % 7 == 0).all():
        weeks = int(np.gcd.reduce(days)) // 7
        return f"{weeks if weeks > 1 else ''}W-{index[0].strftime('%a').upper()}"
    if len(index) >= 3 and (found := _regular(index)):
        return found
    months = index.year * 12 + index.month
    every = int(np.gcd.reduce(np.diff(months)))
    prefix = "" if every == 1 else str(every)
    if every and index.is_month_start.all():
        return f"{prefix}MS"
    if every and index.is_month_end.all():
        return f"{prefix}ME"
    return _name(int(np.gcd.reduce(days)) * DAY) if np.gcd.reduce(days) > 1 else None


def suggest(ds: np.ndarray) -> tuple[str, float] | None:
    """Returns the exchange whose sessions daily rows fit best, and how well, or None where none fits 99 %.

    The fit is the share of days in both, of the days in either, over the last three years of rows.
    """
    days = np.unique(ds // DAY * DAY)
    days = days[days >= days[-1] - 3 * 365 * DAY] if len(days) else days
    if len(days) < 60:
        return None
    best: tuple[str, float] | None = None
    for code in _CANDIDATES:
        due, _ = sessions_between(code, int(days[0]), int(days[-1]))
        both = len(np.intersect1d(due, days, assume_unique=True))
        fit = both / (len(due) + len(days) - both)
        if best is None or fit > best[1]:
            best = (code, fit)
        if fit == 1.0:
            break
    return best if best and best[1] >= 0.99 else None


def _regular(index: pd.DatetimeIndex) -> str | None:
    """Returns the frequency of stamps of which none is missing."""
    with warnings.catch_warnings():
        # pandas 3 will return an offset where it returns a text now.
        warnings.simplefilter("ignore", DeprecationWarning)
        found: Any = pd.infer_freq(index)
    return None if found is None else str(getattr(found, "freqstr", found))


def _name(step: int) -> str:
    if step % DAY == 0:
        return f"{step // DAY}D"
    return str(pd.tseries.frequencies.to_offset(pd.Timedelta(step, "ns")).freqstr)
