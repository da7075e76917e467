"""The forecasts that a model has to beat: naive, seasonal naive, drift and mean.

    row              0  1  2  3  4  5  6  7  8
    series           7  1  4  9  2  5              the running example; season_length m = 3
    naive                           5  5  5  5     the last value
    seasonal_naive                  9  2  5  9     the value one season ago
    drift                           4.6  4.2 ...   the line through the first and the last value
    mean                            4.67 4.67 ...  the mean of all values so far
                                 |
                                 cutoff 5, then steps 1, 2, 3, 4

Axes: `T` rows of one series, `N` cutoffs, `H` steps. One call forecasts one series from many cutoffs at once.
A cutoff is the row number of the last known row and a step the distance from it in rows, so after a gap of G rows the
steps are G+1 ... G+H.

Nothing after a cutoff is looked at. A missing value (nan) stands for the last observed one before it; where nothing was
observed up to the cutoff, the forecast is nan.

This module knows nothing of dates, panels or scores.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ConfigError, DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def naive(series: npt.ArrayLike, cutoffs: npt.ArrayLike, steps: npt.ArrayLike, season_length: int = 1) -> FloatArray:
    """Repeats the last observed value.

    Args:
        series: Array `(T,)` in any unit, oldest row first, nan where nothing was observed.
        cutoffs: Integers `(N,)` in `[0, T)`: the last known rows, in any order.
        steps: Integers `(H,)` >= 1: rows after the cutoff.
        season_length: Not used; every baseline takes the same arguments.

    Returns:
        Array `(N, H)` in the unit of `series`; nan from cutoffs before the first observed row.

    Raises:
        DataError: The series is not one row of finite numbers and nan, or a cutoff lies outside it.
        ConfigError: A step or `season_length` is not an integer >= 1.

    Example:
        >>> naive([7, 1, 4, 9, 2, 5], cutoffs=[5, 3], steps=[1, 2, 3, 4])
        array([[5., 5., 5., 5.],
               [9., 9., 9., 9.]])

    Source:
        Hyndman & Athanasopoulos (2021), section 5.2, https://otexts.com/fpp3/simple-methods.html
    """
    values, rows, ahead, _ = _check(series, cutoffs, steps, season_length)
    return np.repeat(_filled(values)[rows][:, None], len(ahead), axis=1)


def seasonal_naive(
    series: npt.ArrayLike, cutoffs: npt.ArrayLike, steps: npt.ArrayLike, season_length: int
) -> FloatArray:
    """Repeats the last season.

    Step `h` is the value of row `cutoff + h - m * ceil(h / m)`, or the last observed value before that row where it is
    missing. Where fewer than `m` rows lie between the first observed row and the cutoff, both included, the whole
    forecast is the naive one.

    Args:
        series: Array `(T,)`, as for `naive`.
        cutoffs: Integers `(N,)`, as for `naive`.
        steps: Integers `(H,)`, as for `naive`.
        season_length: `m`, rows per season: 24 for hourly rows with a daily cycle; 1 is the naive forecast.

    Returns:
        Array `(N, H)` in the unit of `series`; nan from cutoffs before the first observed row.

    Raises:
        DataError: As for `naive`.
        ConfigError: As for `naive`.

    Example:
        >>> seasonal_naive([7, 1, 4, 9, 2, 5], cutoffs=[5, 1], steps=[1, 2, 3, 4], season_length=3)
        array([[9., 2., 5., 9.],
               [1., 1., 1., 1.]])

    Source:
        Hyndman & Athanasopoulos (2021), section 5.2, https://otexts.com/fpp3/simple-methods.html
    """
    values, rows, ahead, m = _check(series, cutoffs, steps, season_length)
    filled = _filled(values)
    wanted = rows[:, None] - m + 1 + (ahead - 1) % m  # (N, H): the same rows as in the rule, without the ceiling
    short = rows - _first_observed(values) + 1 < m  # (N,)
    return filled[np.where(short[:, None], rows[:, None], wanted)]


def drift(series: npt.ArrayLike, cutoffs: npt.ArrayLike, steps: npt.ArrayLike, season_length: int = 1) -> FloatArray:
    """Continues the line from the first observed value to the last.

    Step `h` is `last + h * (last - first) / (rows from first to last)`; with one observed value it is the naive
    forecast.

    Args:
        series: Array `(T,)`, as for `naive`.
        cutoffs: Integers `(N,)`, as for `naive`.
        steps: Integers `(H,)`, as for `naive`.
        season_length: Not used; every baseline takes the same arguments.

    Returns:
        Array `(N, H)` in the unit of `series`; nan from cutoffs before the first observed row.

    Raises:
        DataError: As for `naive`.
        ConfigError: As for `naive`.

    Example:
        >>> drift([7, 1, 4, 9, 2, 5], cutoffs=[5], steps=[1, 2, 3, 4])
        array([[4.6, 4.2, 3.8, 3.4]])

    Source:
        Hyndman & Athanasopoulos (2021), section 5.2, https://otexts.com/fpp3/simple-methods.html
    """
    values, rows, ahead, _ = _check(series, cutoffs, steps, season_length)
    first = _first_observed(values)
    if first == len(values):
        return np.full((len(rows), len(ahead)), np.nan)
    last = _filled(values)[rows]  # (N,)
    distance = _last_observed(values)[rows] - first  # (N,): 0 with one observed value, negative with none
    slope = (last - values[first]) / np.maximum(distance, 1)  # (N,)
    return last[:, None] + ahead * slope[:, None]


def mean(series: npt.ArrayLike, cutoffs: npt.ArrayLike, steps: npt.ArrayLike, season_length: int = 1) -> FloatArray:
    """Repeats the mean of all values observed up to the cutoff.

    Args:
        series: Array `(T,)`, as for `naive`.
        cutoffs: Integers `(N,)`, as for `naive`.
        steps: Integers `(H,)`, as for `naive`.
        season_length: Not used; every baseline takes the same arguments.

    Returns:
        Array `(N, H)` in the unit of `series`; nan from cutoffs before the first observed row.

    Raises:
        DataError: As for `naive`.
        ConfigError: As for `naive`.

    Example:
        >>> mean([7, 1, 4, 9, 2, 5], cutoffs=[2, 5], steps=[1, 2]).round(2)
        array([[4.  , 4.  ],
               [4.67, 4.67]])

    Source:
        Hyndman & Athanasopoulos (2021), section 5.2, https://otexts.com/fpp3/simple-methods.html
    """
    values, rows, ahead, _ = _check(series, cutoffs, steps, season_length)
    observed = ~np.isnan(values)
    total = np.cumsum(np.where(observed, values, 0.0))[rows]  # (N,): each sum adds earlier rows only
    count = np.cumsum(observed)[rows]  # (N,)
    means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.repeat(means[:, None], len(ahead), axis=1)


Baseline = Callable[[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike, int], FloatArray]

BASELINES: dict[str, Baseline] = {"naive": naive, "seasonal_naive": seasonal_naive, "drift": drift, "mean": mean}


def check_season_length(season_length: Any) -> int:
    """Returns a season length as an integer, or raises a ConfigError if it is not an integer >= 1."""
    try:
        m = operator.index(season_length)
    except TypeError:
        m = 0
    if m < 1:
        raise ConfigError(
            f"`season_length` must be an integer >= 1. Received: {season_length!r}. Give 1 where there is no season."
        )
    return m


def check_finite(name: str, values: FloatArray) -> FloatArray:
    """Returns the values, or raises a DataError if any is infinite; nan may stay, it means "not observed"."""
    if infinite := int(np.isinf(values).sum()):
        raise DataError(
            f"`{name}` must be finite, or nan where nothing was observed. Received: {infinite} of {values.size} values "
            "are infinite. Put nan in their place."
        )
    return values


def check_series(name: str, series: npt.ArrayLike) -> FloatArray:
    """Returns one series as `(T,)` float64, or raises a DataError if it has other axes or infinite values."""
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(
            f"`{name}` must be one series of shape (T,). Received: shape {values.shape}. Give one column of one series."
        )
    return check_finite(name, values)


def _check(
    series: npt.ArrayLike, cutoffs: npt.ArrayLike, steps: npt.ArrayLike, season_length: int
) -> tuple[FloatArray, IntArray, IntArray, int]:
    values = check_series("series", series)
    rows, ahead = _integers("cutoffs", cutoffs), _integers("steps", steps)
    if outside := int(((rows < 0) | (rows >= len(values))).sum()):
        raise DataError(
            f"Every cutoff must be a row of its series, >= 0 and < {len(values)}. Received: {outside} of {len(rows)} "
            f"outside, the lowest {rows.min()}, the highest {rows.max()}. Count from the first row of this series."
        )
    if len(ahead) and ahead.min() < 1:
        raise ConfigError(f"`steps` must be integers >= 1, counted from the cutoff. Received: {int(ahead.min())}")
    return values, rows, ahead, check_season_length(season_length)


def _integers(name: str, value: npt.ArrayLike) -> IntArray:
    array = np.asarray(value)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ConfigError(
            f"`{name}` must be a list of integers. Received: shape {array.shape} of {array.dtype}. "
            "Give numbers of rows, not dates."
        )
    return array.astype(np.int64)


def _last_observed(values: FloatArray) -> IntArray:
    """Returns `(T,)`: the last observed row at or before each row, -1 where there is none."""
    return np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))


def _first_observed(values: FloatArray) -> int:
    """Returns the first observed row, `T` where there is none."""
    observed = ~np.isnan(values)
    return int(observed.argmax()) if observed.any() else len(values)


def _filled(values: FloatArray) -> FloatArray:
    """Returns `(T,)`: the last observed value at or before each row, nan where there is none."""
    if not len(values):
        return values
    return values[np.maximum(_last_observed(values), 0)]  # row 0 is itself nan where nothing was observed before
