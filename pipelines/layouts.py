"""Which DataFrames can become a Panel, and how.

    one series              many series, long            yfinance, two levels of columns
    index    Close          unique_id  ds       y        index       (Close, AAPL)  (Close, IBM)
    2024-01-02  ...         AAPL       2024-01-02  ...   2024-01-02  ...            ...

The index of one series is a DatetimeIndex, a PeriodIndex or integers; other names than `unique_id` and `ds` go through
`id_col` and `time_col`. Rows may come in any order. Work is done in blocks of rows, so that the peak of memory stays
near the size of the panel itself.
"""

import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from . import freq as freq_of
from .calendars import DAY, Calendar
from .errors import ConfigError, DataError, UnknownName
from .ordering import BLOCK, number_series, row_order
from .panel import Panel
from .values import digits_lost, number_reader

CalendarChoice = str | Mapping[str, str] | None


def to_panel(
    frame: pd.DataFrame | pd.Series,
    *,
    columns: Sequence[str] | None = None,
    id_col: str | None = None,
    time_col: str | None = None,
    freq: str | None = None,
    calendar: CalendarChoice = None,
) -> Panel:
    """Returns the panel of a DataFrame.

    Args:
        frame: Any layout drawn at the top of this module.
        columns: Value columns to keep; all by default. Text in other columns is then no error.
        id_col: Column that names the series; `unique_id` by default.
        time_col: Column of stamps; `ds` by default, else the index.
        freq: A pandas frequency; inferred where not given.
        calendar: An exchange's code, or one for each series by its name. Where the frame's source knows it
            (`frame.attrs["calendar"]`), it need not be given.

    Raises:
        DataError: The layout is not one of these, stamps cannot be read, or a value column is neither number nor
            category; the message names column and dtype.
        ConfigError: `freq` and `calendar` are both given, or a name does not exist.
    """
    if isinstance(frame, pd.Series):
        frame = frame.to_frame(frame.name if frame.name is not None else "y")
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"Rows must come as a pandas DataFrame. Received: {type(frame).__name__}")
    if freq and calendar:
        raise ConfigError(f"Give `freq` or `calendar`, not both. Received: freq={freq!r}, calendar={calendar!r}")
    attrs = frame.attrs
    frame = _one_level(frame)
    id_col = _named(frame, "id_col", id_col or attrs.get("id_col"), "unique_id")
    time_col = _named(frame, "time_col", time_col or attrs.get("time_col"), "ds")
    stamps = frame[time_col] if time_col else frame.index
    if not len(frame):
        raise DataError("A panel needs at least one row. Received: an empty frame.")
    _refuse_unlikely(frame, time_col, id_col)
    value_columns = _value_columns(frame, columns, {id_col, time_col})

    ds_block, zone, dated = _stamps(stamps, time_col)
    ids, codes = number_series(frame[id_col]) if id_col else ((str(attrs.get("unique_id", "series")),), None)
    order, offsets, notes = row_order(len(frame), codes, len(ids), ds_block)
    del codes

    R = len(frame)
    ds = np.empty(R, np.int64)
    values = np.empty((R, len(value_columns)), np.float32)
    readers = [number_reader(frame[name], str(name), notes) for name in value_columns]
    for a in range(0, R, BLOCK):
        rows = slice(a, a + BLOCK) if order is None else order[a : a + BLOCK]
        ds[a : a + BLOCK] = ds_block(rows)
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and cleaning says so
            for c, read in enumerate(readers):
                values[a : a + BLOCK, c] = read(rows)
    del order
    notes += [note for name, read in zip(value_columns, readers, strict=True) if (note := digits_lost(name, read, R))]
    chosen = calendar if calendar is not None else (None if freq else attrs.get("calendar"))
    return Panel(
        ids=ids,
        offsets=offsets,
        ds=ds,
        values=values,
        columns=tuple(str(name) for name in value_columns),
        calendars=_calendars(ids, offsets, ds, zone, dated, freq, chosen),
        unit=str(attrs.get("unit", "")),
        notes=(*attrs.get("notes", ()), *notes),
    )


def _one_level(frame: pd.DataFrame) -> pd.DataFrame:
    """Turns yfinance's two levels of columns (price, ticker) into long rows."""
    if frame.columns.nlevels == 1:
        return frame
    if frame.columns.nlevels != 2:
        raise DataError(
            "Columns have one level, or two as yfinance makes them (price, ticker). "
            f"Received: {frame.columns.nlevels} levels."
        )
    names = [str(name).lower() for name in frame.columns.names]
    first = frame.columns.get_level_values(0)
    prices = {"open", "high", "low", "close", "adj close", "volume"}
    level = names.index("ticker") if "ticker" in names else 1 if {str(v).lower() for v in first} & prices else 0
    tickers = list(dict.fromkeys(frame.columns.get_level_values(level)))
    parts = []
    for ticker in tickers:
        part = frame.xs(ticker, axis=1, level=level).dropna(how="all")
        parts.append(part.set_axis([str(c) for c in part.columns], axis=1).assign(unique_id=str(ticker)))
    long = pd.concat(parts)
    return long.assign(ds=long.index).reset_index(drop=True)


def _named(frame: pd.DataFrame, option: str, name: str | None, default: str) -> str | None:
    if name is None:
        return default if default in frame.columns else None
    if name not in frame.columns:
        raise UnknownName.of(f"column (`{option}`)", name, [str(c) for c in frame.columns])
    return name


def _value_columns(frame: pd.DataFrame, columns: Sequence[str] | None, other: set[str | None]) -> list[Any]:
    """Returns the frame's own names of the columns to keep: they need not be text."""
    there = [c for c in frame.columns if c not in other]
    if columns is None:
        chosen = there
    else:
        by_text = {str(c): c for c in there}
        for name in columns:
            if str(name) not in by_text:
                raise UnknownName.of("column", str(name), list(by_text))
        chosen = [by_text[str(name)] for name in dict.fromkeys(columns)]
    if not chosen:
        raise DataError("A panel needs at least one column of values. Received only stamps and names of series.")
    names = frame.columns.map(str)
    doubled = names[names.duplicated()]
    if len(doubled):
        raise DataError(f"Column names must differ. Received more than once: {', '.join(map(str, doubled.unique()))}")
    return chosen


def _refuse_unlikely(frame: pd.DataFrame, time_col: str | None, id_col: str | None) -> None:
    """Names the layout that a frame looks like, where it has no usable stamps."""
    if time_col is not None:
        return
    if frame.index.nlevels > 1:
        raise DataError(
            f"Stamps stand in a column or in an index of one level. Received: an index of {frame.index.nlevels} "
            "levels. Turn them into columns with frame.reset_index(), and name them with `id_col` and `time_col`."
        )
    if id_col is not None or len(frame.columns) <= 20:
        return
    names = frame.iloc[:, 0] if isinstance(frame.index, pd.RangeIndex) else frame.index
    if pd.api.types.is_string_dtype(names.dtype) and names.is_unique and not _are_dates(names[:5]):
        raise DataError(
            "The rows have names and many columns: this looks like the wide matrix of M4, one series a row. "
            'Read it with the source option layout="wide", or turn it into rows of unique_id, ds, y.'
        )


def _are_dates(texts: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas says when it finds no format
        return bool(pd.to_datetime(texts.astype(str), errors="coerce", utc=True).notna().all())


def _stamps(stamps: Any, name: str | None) -> tuple[Any, str, bool]:
    """Returns `(block reader, zone, dated)`: the reader gives int64 stamps of a slice or an array of rows."""
    what = f"column {name!r}" if name else "the index"
    dtype = stamps.dtype
    if isinstance(dtype, pd.PeriodDtype):
        return _stamps(pd.PeriodIndex(stamps).to_timestamp(), name)
    if pd.api.types.is_integer_dtype(dtype):
        if getattr(stamps, "hasnans", False):
            raise DataError(f"Every row needs a stamp. Received {int(stamps.isna().sum())} empty ones in {what}.")
        return stamps.to_numpy().__getitem__, "", False
    if not pd.api.types.is_datetime64_any_dtype(dtype):
        stamps = _parsed(stamps, what)
    index = pd.DatetimeIndex(stamps)
    if index.hasnans:
        empty = np.count_nonzero(index.isna())
        raise DataError(f"Every row needs a stamp. Received {empty} empty ones in {what}. Remove them.")
    zone = "" if index.tz is None else str(index.tz)
    per_unit = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[index.unit]
    raw = index.asi8
    reach = (2**63 - 1) // per_unit
    if len(raw) and (raw.max() > reach or raw.min() < -reach):
        raise DataError(
            f"Stamps must lie between the years 1678 and 2261. Received: {index.min()} .. {index.max()} in {what}."
        )
    return (lambda rows: raw[rows] * per_unit), zone, True


def _parsed(stamps: Any, what: str) -> Any:
    values = stamps.to_numpy()
    offsets = {v.utcoffset() for v in values if getattr(v, "tzinfo", None) is not None}
    naive = any(hasattr(v, "tzinfo") and v.tzinfo is None and not pd.isna(v) for v in values)
    if len(offsets) > 1 or (offsets and naive):
        raise _mixed_zones(what)
    if pd.api.types.is_float_dtype(stamps.dtype):
        raise DataError(f"Stamps are dates or integers. Received: {what} of dtype {stamps.dtype}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (UserWarning, FutureWarning))  # what cannot be read is an error below
            parsed = pd.to_datetime(stamps)
    except (ValueError, TypeError) as error:
        if re.search("timezone|tz-aware", str(error), re.IGNORECASE):
            raise _mixed_zones(what) from None
        raise DataError(
            f"Stamps are dates or integers. Received: {what} of dtype {stamps.dtype}, starting {values[:2].tolist()} "
            f"({str(error).splitlines()[0]}). Name the column of stamps with `time_col`, or set a DatetimeIndex."
        ) from None
    if not pd.api.types.is_datetime64_any_dtype(parsed.dtype):  # pandas 2 leaves texts of mixed zones as objects
        raise _mixed_zones(what)
    return parsed


def _mixed_zones(what: str) -> DataError:
    return DataError(
        f"The stamps of {what} mix time zones, or hours before and after a clock change. Bring them into one zone "
        'first: pd.to_datetime(frame["ds"], utc=True).dt.tz_convert("Europe/Berlin").'
    )


def _refuse_steps(offsets: np.ndarray, ds: np.ndarray) -> None:
    """Refuses integer stamps that do not count rows: dates such as 20240131, and steps of ten."""
    some = ds[:BLOCK]
    dates = (some >= 19000101) & (some <= 21001231) & (some // 100 % 100 - 1 < 12) & (some % 100 - 1 < 31)
    inside = np.ones(max(len(some) - 1, 0), bool)
    inside[offsets[1:-1][offsets[1:-1] < len(some)] - 1] = False
    steps = np.diff(some)[inside]
    steps = steps[steps > 0]
    if len(steps) < 5 or not (dates.all() or steps.min() > 1):
        return
    raise DataError(
        f"Integer stamps count rows: 0, 1, 2, ... Received: {', '.join(map(str, some[:3]))}, ... If they are dates, "
        "turn them into dates with pd.to_datetime; else number the rows."
    )


def _calendars(
    ids: tuple[str, ...],
    offsets: np.ndarray,
    ds: np.ndarray,
    zone: str,
    dated: bool,
    freq: str | None,
    chosen: CalendarChoice,
) -> tuple[Calendar, ...]:
    if not dated:
        if freq or chosen:
            raise ConfigError(f"Integer stamps have no freq or calendar. Received: {freq or chosen!r}. Leave it out.")
        _refuse_steps(offsets, ds)
        return (Calendar(""),) * len(ids)
    if freq or isinstance(chosen, str):
        calendar = Calendar(freq or str(chosen), zone)
        first = np.diff(ds[: offsets[1]])
        if calendar.is_exchange and len(first) > 2 and np.median(first) < DAY // 2:
            raise ConfigError(
                f"An exchange's calendar is for daily rows. Received: calendar={calendar.code!r} for rows every "
                f"{pd.Timedelta(int(np.median(first)), 'ns')}. Give their freq, such as freq='h'."
            )
        return (calendar,) * len(ids)
    given = dict(chosen or {})
    make = functools.cache(lambda code: Calendar(code, zone))
    known: dict[Any, str] = {}
    result = []
    for s, name in enumerate(ids):
        code = given.get(name)
        if code is None:
            stamps = ds[offsets[s] : offsets[s + 1]]
            steps = np.diff(stamps)
            # Where every step is below a day, the steps alone decide; else weekdays and months do, too.
            key = hash((steps if len(steps) and steps.max() < DAY else stamps).tobytes())
            if key not in known:
                known[key] = _inferred(stamps, name, zone)
            code = known[key]
        result.append(make(code))
    return tuple(result)


def _inferred(stamps: np.ndarray, name: str, zone: str) -> str:
    distinct = np.unique(stamps)
    if len(distinct) < 3:
        return "D"  # too short for any window; what is too short says so where windows are cut
    found = freq_of.infer(distinct, zone)
    if found is None:
        raise DataError(
            f"The stamps of series {name!r} have no common step, so its next one is unknown. Give `freq` (such as "
            "'h' or 'D') or `calendar` (such as 'XNYS')."
        )
    return found
