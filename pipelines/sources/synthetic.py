"""Series made by a formula, so that the right answer is known: for tests, benchmarks and first steps.

    sine          y[t] = level + sin(2 pi (t / m + s / S)) + noise e[t]
    trend         y[t] = level + 0.01 (s + 1) t + noise e[t]
    seasonal      y[t] = level + p[t mod m] + noise e[t]        p: one pattern of m values, drawn from N(0, 1)
    random_walk   y[t] = level + noise (e[1] + ... + e[t])      no forecast beats "tomorrow equals today"

`t` counts rows from 0, `s` series from 0 to S - 1, `m` is `season_length`, `level` is 10; each `e[t]` is drawn from
N(0, 1). A series depends on the seed and its own number `s`, not on how many others there are; `sine` alone spreads
its phases over all S.
"""

from typing import Any

import numpy as np
import pandas as pd
import pydantic

from ..errors import ConfigError, UnknownName
from ..spec import Spec

EXAMPLES = ("synthetic:sine", "synthetic:seasonal?rows=2000&series=3&season_length=24&freq=h")

LEVEL = 10.0
SLOPE = 0.01
KINDS = ("random_walk", "seasonal", "sine", "trend")


class SyntheticOptions(Spec):
    """What is to be made.

    Args:
        rows: Rows per series.
        series: How many series.
        noise: Standard deviation of the noise, or of a random walk's steps.
        seed: Same seed, same rows.
        freq: A pandas frequency, or "int" for integer stamps.
        start: The first date.
        season_length: Rows per season.
    """

    rows: int = pydantic.Field(1000, ge=1)
    series: int = pydantic.Field(1, ge=1)
    noise: float = pydantic.Field(0.1, ge=0)
    seed: int = pydantic.Field(0, ge=0)
    freq: str = "D"
    start: str = "2020-01-01"
    season_length: int = pydantic.Field(24, ge=2)


def load(
    locator: str,
    *,
    rows: int | str = 1000,
    series: int | str = 1,
    noise: float | str = 0.1,
    seed: int | str = 0,
    freq: str = "D",
    start: str = "2020-01-01",
    season_length: int | str = 24,
) -> pd.DataFrame:
    """Returns one series, column `y`, with its stamps in the index; or several as a long frame.

    Args:
        locator: "sine", "trend", "seasonal" or "random_walk".
        rows: Rows per series, `T`.
        series: How many series, `S`; they are called s0, s1, ...
        noise: Standard deviation of the noise, or of a random walk's steps.
        seed: Same seed, same rows.
        freq: A pandas frequency such as "D", "h" or "MS", or "int" for the stamps 0, 1, 2, ...
        start: The first date.
        season_length: Rows per season, `m`, for "sine" and "seasonal".

    Raises:
        UnknownName: There is no such kind.
        ConfigError: A number is out of range, or freq or start is none.

    Example:
        >>> load("sine", rows=4, noise=0, season_length=4, freq="int")["y"].round(3).tolist()
        [10.0, 11.0, 10.0, 9.0]
        >>> load("trend", rows=2, series=2, noise=0).values.tolist()[-1]
        ['s1', Timestamp('2020-01-02 00:00:00'), 10.02]
    """
    if locator not in KINDS:
        raise UnknownName.of("synthetic series", locator, KINDS)
    given = {"rows": rows, "series": series, "noise": noise, "seed": seed, "freq": freq, "start": start}
    options = SyntheticOptions.of({**given, "season_length": season_length})
    stamps = _stamps(options)
    values = [_values(locator, number, options) for number in range(options.series)]  # S arrays (T,)
    if options.series == 1:
        frame = pd.DataFrame({"y": values[0]}, index=stamps)
    else:
        frame = pd.DataFrame(
            {
                "unique_id": np.repeat([f"s{number}" for number in range(options.series)], options.rows),
                "ds": stamps.take(np.tile(np.arange(options.rows), options.series)),
                "y": np.concatenate(values),
            }
        )
    frame.attrs["notes"] = [f"Made by the formula of 'synthetic:{locator}', seed {options.seed}."]
    return frame


def _values(kind: str, number: int, options: SyntheticOptions) -> np.ndarray:
    random = np.random.default_rng([options.seed, number])
    t = np.arange(options.rows)  # (T,)
    pattern = random.standard_normal(options.season_length)  # (m,), drawn for every kind: the noise is then the same
    noise = options.noise * random.standard_normal(options.rows)  # (T,)
    if kind == "sine":
        return LEVEL + np.sin(2 * np.pi * (t / options.season_length + number / options.series)) + noise
    if kind == "trend":
        return LEVEL + SLOPE * (number + 1) * t + noise
    if kind == "seasonal":
        return LEVEL + pattern[t % options.season_length] + noise
    return LEVEL + np.concatenate([[0.0], np.cumsum(noise[1:])])


def _stamps(options: SyntheticOptions) -> Any:
    if options.freq == "int":
        return pd.RangeIndex(options.rows, name="ds")
    start = pd.to_datetime(options.start, errors="coerce")
    if pd.isna(start):
        raise ConfigError(f"`start` must be a date such as '2020-01-01'. Received: {options.start!r}")
    try:
        step = pd.tseries.frequencies.to_offset(options.freq)
    except (ValueError, FutureWarning):
        step = None
    if step is None or step.n < 1:
        raise ConfigError(
            f"`freq` must be 'int' or a frequency that pandas knows, such as 'D', 'h', 'min' or 'MS'. "
            f"Received: {options.freq!r}"
        )
    try:
        return pd.date_range(start, periods=options.rows, freq=step, name="ds", unit="ns")
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        raise ConfigError(
            f"All dates must lie before the year 2262. Received: `rows` = {options.rows}, `freq` = {options.freq!r} "
            f"from {options.start}. Take fewer rows, a shorter `freq`, or freq='int'."
        ) from None
