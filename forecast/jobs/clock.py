"""As of when: the only clock of a run. No row after it reaches the model.

    frequency of the bundle       now, or --as-of             as_of
    h                             2024-01-05 09:41            2024-01-05 09:00
    D                             2024-01-05 09:41            2024-01-05, and rows of that day, whatever their hour
    XNYS, a Saturday or holiday   2024-07-04 09:41            2024-07-03
    MS                            2024-01-15                  2024-01-01

It is counted on the wall clock of the job's time zone. Stamps that carry a zone of their own are compared as instants
where rows are hours or shorter, and by their own day where they are days or longer; stamps without a zone are taken for
the job's wall clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.calendars import DAY, Calendar, sessions_between, to_offset
from pipelines.errors import ConfigError


@dataclass(frozen=True)
class AsOf:
    """When a run takes place.

    Attributes:
        wall: Nanoseconds on the wall clock of the zone, floored.
        utc: The same instant, in UTC.
        zone: The job's time zone.
        daily: True where rows are days or longer.
        given: True where the caller said when; False where it was the machine's clock.
        ends: The last nanosecond, in UTC, of the day or step that was asked for.

    Example:
        >>> print(AsOf.of("2024-07-06", ["XNYS"], "America/New_York"))
        2024-07-05
        >>> print(AsOf.of("2024-01-05 09:41", ["h"], "America/New_York"))
        2024-01-05T09:00:00-05:00
    """

    wall: int
    utc: int
    zone: str
    daily: bool
    given: bool
    ends: int

    @classmethod
    def of(cls, text: str | None, codes: Iterable[str], zone: str, now: pd.Timestamp | None = None) -> "AsOf":
        """Returns when a run takes place, floored to the frequency of the rows.

        Args:
            text: A date or time, in the job's time zone where it has no offset; None for now.
            codes: Frequencies and exchanges of the rows; the finest counts.
            zone: The job's time zone.
            now: What the machine's clock says.

        Raises:
            ConfigError: The text is no time, or the rows have no dates.
        """
        calendars = [Calendar(code, zone) for code in sorted(set(codes))]
        if not calendars or not all(calendar.code for calendar in calendars):
            raise ConfigError(
                "A job forecasts rows with dates, because it runs as of one. Received: a bundle that was trained on "
                "integer stamps. Train it on rows with dates."
            )
        moment = _parsed(text, zone) if text is not None else now if now is not None else machine_clock()
        local = moment.tz_convert(zone)
        steps = [calendar.step for calendar in calendars if calendar.step is not None and calendar.step < DAY]
        if steps:
            utc = _floored(local, min(steps))
            wall = _ns(utc.tz_convert(zone).tz_localize(None))
            began = _ns(utc.tz_localize(None))
            return cls(wall, began, zone, False, text is not None, began + min(steps) - 1)
        day = _ns(local.tz_localize(None)) // DAY * DAY
        wall = _due_day(day, calendars)
        began, end = calendars[0].utc(np.array([wall, day + DAY])).tolist()
        return cls(wall, began, zone, True, text is not None, end - 1)

    def __str__(self) -> str:
        if self.daily:
            return str(_stamp(self.wall).date())
        return _stamp(self.utc).tz_localize("UTC").tz_convert(self.zone).isoformat()

    @property
    def key(self) -> str:
        """The same in the name of a file: a day, or an hour in UTC."""
        return str(self) if self.daily else _stamp(self.utc).strftime("%Y%m%dT%H%M%SZ")

    @property
    def sql(self) -> str:
        """The same on the wall clock, as databases write it."""
        return str(self) if self.daily else str(_stamp(self.wall))

    @property
    def known(self) -> str:
        """When the day or step asked for ends, in UTC: whatever a source had said by then was known.

        It is the day asked for, a Saturday too, and not the session before it, so that a run of the weekend knows what
        was said at the weekend.

        Example:
            >>> AsOf.of("2024-07-06", ["XNYS"], "America/New_York").known[:26]
            '2024-07-07T03:59:59.999999'
        """
        return _stamp(self.ends).tz_localize("UTC").isoformat()

    def is_before(self, stamp: str) -> bool:
        """Returns whether a stamp, as people write it, lies after this.

        Example:
            >>> AsOf.of("2024-07-05", ["D"], "UTC").is_before("2024-07-06")
            True
        """
        other = pd.Timestamp(stamp)
        wall = other if other.tz is None else other.tz_convert(self.zone).tz_localize(None)
        return _ns(wall) > self.wall + (DAY - 1 if self.daily else 0)

    def limit(self, calendar: Calendar) -> int:
        """Returns the largest stamp of a series that is not after this."""
        if self.daily:
            end = np.array([self.wall + DAY])
            return int(calendar.utc(end)[0]) - 1
        return self.utc if calendar.zone else self.wall

    def due_since(self, last: int, calendar: Calendar) -> int:
        """Returns how many rows are due after a stamp, up to this."""
        due = calendar.between(last, self.limit(calendar))
        return int((due > last).sum())


def machine_clock() -> pd.Timestamp:
    """Returns what the clock of this machine says."""
    return pd.Timestamp.now("UTC")


def _parsed(text: str, zone: str) -> pd.Timestamp:
    try:
        stamp = pd.Timestamp(text)
        stamp = stamp.tz_localize(zone) if stamp.tz is None else stamp
    except ValueError as error:
        raise ConfigError(
            f"`--as-of` must be a date or a time that exists once in {zone}, such as 2024-01-05 or "
            f"2024-01-05T09:00-05:00. Received: {text!r} ({error})."
        ) from None
    if stamp is pd.NaT:
        raise ConfigError(f"`--as-of` must be a date or a time, such as 2024-01-05. Received: {text!r}")
    return stamp


def _floored(local: pd.Timestamp, step: int) -> pd.Timestamp:
    """Returns the last step that began at or before a time, counted from midnight on the wall clock, in UTC."""
    offset = _offset(local)
    utc = _stamp((_ns(local.tz_localize(None)) // step * step) - offset).tz_localize("UTC")
    shifted = _offset(utc.tz_convert(local.tz)) - offset
    # The clock was changed since that step: it began on the clock of before.
    return min(utc - pd.Timedelta(shifted, "ns"), local.tz_convert("UTC")) if shifted else utc


def _due_day(day: int, calendars: list[Calendar]) -> int:
    """Returns the last day that is due, at or before a day; the day itself where several calendars differ."""
    if len(calendars) > 1:
        return day
    calendar = calendars[0]
    if calendar.is_exchange:
        days, _ = sessions_between(calendar.code, day - 60 * DAY, day)
        return int(days[-1]) if len(days) else day
    return _ns(to_offset(calendar.code).rollback(_stamp(day)))


def _offset(stamp: pd.Timestamp) -> int:
    offset = stamp.utcoffset()
    return 0 if offset is None else int(pd.Timedelta(offset).as_unit("ns").value)


def _stamp(ns: int) -> pd.Timestamp:
    return pd.Timestamp(int(ns), unit="ns")


def _ns(stamp: pd.Timestamp) -> int:
    return int(stamp.as_unit("ns").value)
