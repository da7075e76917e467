"""When rows are due: a pandas frequency, an exchange's sessions, or plain integer steps.

    Calendar("h")                   every hour
    Calendar("B")                   Monday to Friday
    Calendar("XNYS")                the sessions of the New York Stock Exchange, its holidays left out
    Calendar("XSHG", "Asia/Shanghai")
    Calendar("")                    0, 1, 2, ... for series without dates

Stamps are int64: UTC nanoseconds, or plain integers. Days, weeks and months are counted on the wall clock of the zone,
so a daily series keeps its hour over a change to summer time; hours and below are counted in UTC.

Exchange sessions come from `exchange_calendars`. It is always asked with an explicit start and end, because its default
spans 20 years back and one ahead; beyond an exchange's own bounds Monday to Friday is used, and flagged provisional.
"""

import functools
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .errors import ConfigError

DAY = 86_400_000_000_000  # nanoseconds


@dataclass(frozen=True)
class Calendar:
    """When rows are due.

    Attributes:
        code: A pandas frequency ("h", "B", "MS"), an exchange's code ("XNYS"), or "" for integer steps.
        zone: The time zone that days are counted in, such as "America/New_York"; "" where stamps carry none.

    Raises:
        ConfigError: The code is neither a frequency nor an exchange.

    Example:
        >>> friday = pd.Timestamp("2024-03-28").value  # the day before Good Friday
        >>> stamps, provisional = Calendar("XNYS").after(friday, 2)
        >>> pd.DatetimeIndex(stamps).strftime("%a %Y-%m-%d").tolist(), provisional
        (['Mon 2024-04-01', 'Tue 2024-04-02'], False)
    """

    code: str
    zone: str = ""

    def __post_init__(self) -> None:
        if self.code and not self.is_exchange:
            to_offset(self.code)

    @property
    def is_exchange(self) -> bool:
        """True for an exchange's sessions."""
        return bool(self.code) and _is_exchange(self.code)

    @property
    def sessions(self) -> bool:
        """True where days without trading are expected, so that a missing weekday need not be a missing row."""
        return self.is_exchange or self.code == "B"

    @property
    def step(self) -> int | None:
        """Nanoseconds between rows, where that is the same for all rows."""
        return _fixed_step(self.code) if self.code else None

    @property
    def season_length(self) -> int:
        """Rows per season: 24 for hours, 7 for days, 5 for sessions, 12 for months; 1 where there is no usual one."""
        if not self.code:
            return 1
        if self.sessions:
            return 5
        offset = to_offset(self.code)
        name = re.sub(r"-.*", "", offset.rule_code)
        if name in {"MS", "ME", "BMS", "BME", "QS", "QE", "BQS", "BQE"}:
            return max(1, (12 if name.lstrip("B").startswith("M") else 4) // offset.n)
        if name == "W":
            return 52 if offset.n == 1 else 1
        step = self.step
        if step is None:
            return 1
        if step == DAY:
            return 7
        return DAY // step if step < DAY and DAY % step == 0 else 1

    def local(self, ds: np.ndarray) -> np.ndarray:
        """Returns stamps as wall-clock nanoseconds of the zone."""
        if not self.zone:
            return ds
        return as_index(ds).tz_localize("UTC").tz_convert(self.zone).tz_localize(None).as_unit("ns").asi8

    def utc(self, local: np.ndarray) -> np.ndarray:
        """Returns wall-clock nanoseconds as UTC; an hour that a clock change skips moves forward."""
        if not self.zone:
            return local
        index = as_index(local).tz_localize(self.zone, nonexistent="shift_forward", ambiguous=np.ones(len(local), bool))
        return index.tz_convert("UTC").tz_localize(None).as_unit("ns").asi8

    def stamps(self, ds: np.ndarray) -> pd.DatetimeIndex | np.ndarray:
        """Returns stamps for people and for features: a wall-clock DatetimeIndex, or the integers."""
        return as_index(self.local(ds)) if self.code else ds

    def between(self, first: int, last: int) -> np.ndarray:
        """Returns every stamp that is due from `first` to `last`, both included where they are due."""
        if not self.code:
            return np.arange(first, last + 1)
        step = self.step
        if step is not None and step < DAY:
            return first + step * np.arange((last - first) // step + 1)
        lo, hi = self.local(np.array([first, last]))
        clock = lo % DAY  # daily rows may be stamped at 16:00: every due stamp has the first one's time of day
        if self.is_exchange:
            due = sessions_between(self.code, int(lo - clock), int(hi - hi % DAY))[0] + clock
        else:
            due = pd.date_range(_stamp(lo), _stamp(hi), freq=to_offset(self.code)).as_unit("ns").asi8
        return self.utc(due[(due >= lo) & (due <= hi)])

    def after(self, last: int, n: int) -> tuple[np.ndarray, bool]:
        """Returns the next `n` stamps, and whether they are provisional because the exchange's calendar ends before."""
        if not self.code:
            return last + np.arange(1, n + 1), False
        step = self.step
        if step is not None and step < DAY:
            return last + step * np.arange(1, n + 1), False
        (lo,) = self.local(np.array([last]))
        clock, provisional = lo % DAY, False
        if self.is_exchange:
            day = lo - clock
            due, bound = sessions_between(self.code, int(day), int(day + (2 * n + 30) * DAY))
            due = due[due > day][:n]
            provisional = bool(due[-1] > bound)
            due = due + clock
        else:
            due = pd.date_range(_stamp(lo), periods=n + 2, freq=to_offset(self.code)).as_unit("ns").asi8
            due = due[due > lo][:n]
        return self.utc(due), provisional


def as_index(ds: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(np.asarray(ds, np.int64).view("M8[ns]"))


def _stamp(ns: int) -> pd.Timestamp:
    return pd.Timestamp(int(ns), unit="ns")


@functools.cache
def to_offset(code: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # pandas 2.2 warns of upper-case "H", pandas 3 refuses it
            return pd.tseries.frequencies.to_offset(code)
    except ValueError:
        raise ConfigError(
            f"`freq` must be a pandas frequency such as 'h', 'D', 'B', 'MS', and `calendar` an exchange's code such as "
            f"'XNYS'. Received: {code!r}"
        ) from None


@functools.cache
def _fixed_step(code: str) -> int | None:
    """Nanoseconds between rows, where that is the same for all rows."""
    try:
        return int(pd.Timedelta(to_offset(code)).as_unit("ns").value)
    except ValueError:
        return None


@functools.cache
def _is_exchange(code: str) -> bool:
    try:
        to_offset(code)
    except ConfigError:
        import exchange_calendars

        return code in exchange_calendars.get_calendar_names(include_aliases=True)
    return False


def _exchange(code: str, **span: pd.Timestamp) -> Any:
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it asks pandas 3 for what pandas 4 will answer otherwise
        return exchange_calendars.get_calendar(code, **span)


@functools.cache
def _exchange_bounds(code: str) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day that an exchange's calendar can tell."""
    calendar = _exchange(code)
    lowest, highest = calendar.bound_min(), calendar.bound_max()
    return lowest or pd.Timestamp("1900-01-01"), highest or pd.Timestamp("2200-01-01")


@functools.lru_cache(maxsize=256)
def _exchange_years(code: str, first: int, last: int) -> np.ndarray:
    lowest, highest = _exchange_bounds(code)
    start, end = max(pd.Timestamp(first, 1, 1), lowest), min(pd.Timestamp(last, 12, 31), highest)
    if start > end:
        return np.empty(0, np.int64)
    return np.asarray(_exchange(code, start=start, end=end).sessions.as_unit("ns").asi8)


def sessions_between(code: str, first: int, last: int) -> tuple[np.ndarray, int]:
    """Session days from `first` to `last`, weekdays beyond the exchange's bounds, and the last day it can tell."""
    lowest, highest = (bound.as_unit("ns").value for bound in _exchange_bounds(code))
    # Years are asked in blocks of ten, so that calls with moving ends share one calendar.
    days = _exchange_years(code, _stamp(first).year // 10 * 10, _stamp(last).year // 10 * 10 + 9)
    parts = [days[(days >= first) & (days <= last)]]
    if first < lowest:
        early = pd.bdate_range(_stamp(first), min(_stamp(last), _stamp(lowest - DAY)))
        parts.insert(0, early.as_unit("ns").asi8)
    if last > highest:
        late = pd.bdate_range(max(_stamp(first), _stamp(highest + DAY)), _stamp(last))
        parts.append(late.as_unit("ns").asi8)
    return np.concatenate(parts), highest
