"""Where a row lies in the day, the week, the month and the year, and how long ago the row before it was.

    name           cycle position p in [0, 1)                       columns
    time_of_day    seconds since midnight / 86,400                  time_of_day.sin, time_of_day.cos
    day_of_week    Monday 0/7, ... Sunday 6/7                       day_of_week.sin, ...
    day_of_month   (day - 1) / days of this month
    month          January 0/12, ... December 11/12
    day_of_year    (day - 1) / 365, or 366 in a leap year
    elapsed        days since the previous row, as a fraction       elapsed

A cycle is `sin(2 pi p)` and `cos(2 pi p)`, so that its end lies beside its start: 23:59 is near 00:00, Sunday near
Monday. Stamps are local wall-clock, as people in the market see them: where clocks are put forward or back, `elapsed`
counts what the clock shows. All of it is known ahead, depends on no data column, and needs stamps that are dates.

This module knows no holidays: those rows do not exist, and `elapsed` shows the gap that they leave.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ..errors import ConfigError
from . import Call, Feature, Stamps

_DAY = np.timedelta64(1, "D")

_POSITIONS: dict[str, tuple[Callable[[pd.DatetimeIndex], object], str]] = {
    "time_of_day": (lambda at: (at - at.normalize()) / _DAY, "seconds since local midnight / 86400"),
    "day_of_week": (lambda at: at.day_of_week / 7, "days since Monday / 7"),
    "day_of_month": (lambda at: (at.day - 1) / at.days_in_month, "(day of the month - 1) / days of this month"),
    "month": (lambda at: (at.month - 1) / 12, "(month - 1) / 12"),
    "day_of_year": (
        lambda at: (at.day_of_year - 1) / np.where(at.is_leap_year, 366, 365),
        "(day of the year - 1) / days of this year",
    ),
}


def names() -> tuple[str, ...]:
    """Returns the features of this family."""
    return (*_POSITIONS, "elapsed")


def make(call: Call, target: str, columns: Sequence[str]) -> Feature:
    """Returns a calendar feature; none takes parameters, and none reads a data column.

    Its `compute` raises ConfigError where the stamps are integers: that series has no dates.

    Example:
        >>> day = make(Call.parse("day_of_week"), "Close", ["Close"])
        >>> day.compute(np.empty((2, 0)), pd.DatetimeIndex(["2024-01-01", "2024-01-08"]))  # two Mondays
        array([[0., 1.],
               [0., 1.]])
    """
    call.bind({})
    if call.name == "elapsed":
        return Feature(
            name=call.text,
            columns=("elapsed",),
            inputs=(),
            level=False,
            warmup=1,
            known=True,
            compute=_elapsed,
            means="Days between this row's local time and the previous row's, as a fraction.",
        )
    position, formula = _POSITIONS[call.name]

    def compute(values: np.ndarray, stamps: Stamps) -> np.ndarray:
        angle = 2 * np.pi * np.asarray(position(_dates(call.name, stamps)), dtype=np.float64)  # (T,)
        return np.column_stack([np.sin(angle), np.cos(angle)])  # (T, 2)

    return Feature(
        name=call.text,
        columns=(f"{call.name}.sin", f"{call.name}.cos"),
        inputs=(),
        level=False,
        warmup=0,
        known=True,
        compute=compute,
        means=f"Sine and cosine of 2 pi x {formula}, in local time.",
    )


def _elapsed(values: np.ndarray, stamps: Stamps) -> np.ndarray:
    """Returns `(T, 1)` days since the previous row; the first row has none, so NaN."""
    days = np.full((len(stamps), 1), np.nan)
    days[1:, 0] = np.diff(_dates("elapsed", stamps).to_numpy()) / _DAY
    return days


def _dates(name: str, stamps: Stamps) -> pd.DatetimeIndex:
    if isinstance(stamps, pd.DatetimeIndex):
        return stamps
    raise ConfigError(
        f"`{name}` needs stamps that are dates. Received: {np.asarray(stamps).dtype} stamps, a series without dates. "
        f"Give the data a column or index of dates, or take {name!r} out of `features`."
    )
