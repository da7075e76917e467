"""Moves stamps that miss their step onto it, where they miss it by little.

every minute     17:51:00  17:51:59  17:53:00       a sensor's clock
every day        23:00     23:00     22:00          local midnight in UTC, before and after a change to summer time
"""

import numpy as np

from .calendars import DAY, Calendar

HOUR = DAY // 24


def unjittered(ds: np.ndarray, calendar: Calendar) -> np.ndarray:
    """Returns stamps on their step: `ds` itself where all are, or where some are too far off to say where they belong.

    Steps below a day are met to within half a step. Days and sessions are met to within two hours, as a clock change
    or an exchange's opening hours move them; longer steps are left alone.

    Args:
        ds: UTC nanoseconds `(T,)`, sorted.
        calendar: When rows are due.
    """
    step = calendar.step
    if len(ds) < 2 or not calendar.code:
        return ds
    if step is not None and step < DAY:
        return _snapped(ds, step)
    if step == DAY or calendar.sessions:
        local = calendar.local(ds)
        snapped = _snapped(local, DAY)
        moved = abs(snapped - local).max()
        return calendar.utc(snapped) if 0 < moved <= 2 * HOUR else ds
    return ds


def _snapped(ds: np.ndarray, step: int) -> np.ndarray:
    phase = _phase(ds, step)
    return (ds - phase + step // 2) // step * step + phase


def _phase(ds: np.ndarray, step: int) -> int:
    """Returns how far the steps lie from the clock's own: the phase that most stamps share, or else lie about.

    A minute's sensor that runs a second late is late by the same second mostly. One that jitters is taken to mean a
    quarter of the step, so that India's hours, half an hour beside UTC's, stay what they are.
    """
    phases, counts = np.unique(ds % step, return_counts=True)
    if counts.max() * 2 > len(ds):
        return int(phases[counts.argmax()])
    around = float(np.angle(np.exp(2j * np.pi * phases / step) @ counts)) / (2 * np.pi)  # the circle's mean, in steps
    return round(around * 4) % 4 * step // 4
