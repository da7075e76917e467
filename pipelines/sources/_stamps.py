"""Finds the column of stamps in a table, and reads it.

    2020-01-31   2020/1/31 09:30   2020-01-31T09:30:00+01:00     ISO 8601 and its relatives
    20200131   202001   2020   2020-01   2020Q1   2020年1月31日     compact, months, years, quarters
    1580428800   1580428800000                                   seconds, milli-, micro- or nanoseconds since 1970
    01/31/2020   1/31/20 4:00 PM   31.01.2020 (`day_first`)      month first, unless day first is asked for
    31-Jan-2020   January 31, 2020                               months by their English names
    0, 1, 2, ...                                                 plain integers, in a column that is called so

The first stamp says how all are written; any other writing further down is an error that names its line.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import pandas as pd

from ..errors import DataError

Unit = Literal["s", "ms", "us", "ns"]
Place = Callable[[int], str]  # row number -> "line 12 of prices.csv"

# Names of stamp columns, best first, folded by `_folded`.
TIME_NAMES = (
    *("ds", "datetime", "date_time", "timestamp", "open_time", "gmt_time", "local_time", "date", "日期", "交易日期"),
    *(
        "trade_date",
        "trading_date",
        "trading_day",
        "datum",
        "fecha",
        "时间",
        "日期时间",
        "time",
        "day",
        "week",
        "month",
    ),
    *("月份", "quarter", "year", "period", "time_idx", "step"),
)
_CERTAIN = TIME_NAMES[:18]  # a text column of such a name must hold stamps
_INTEGERS = frozenset(["ds", "timestamp", "time", "time_idx", "step"])  # may hold 0, 1, 2, ...

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CLOCK = r"(?P<clock>[T ]\d{1,2}:\d{2}(?P<seconds>:\d{2}(?P<part>[.]\d{1,9})?)?(?P<half> ?[AaPp][Mm])?)?"
_OFFSET = r"(?P<offset> ?(?:Z|[+-]\d{2}:?\d{2}))?"
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})(?P<mark>[-/.])\d{1,2}(?P=mark)\d{1,2}" + _CLOCK + _OFFSET)
_YEAR_LAST = re.compile(r"\d{1,2}(?P<mark>[-/.])\d{1,2}(?P=mark)(?P<year>\d{4}|\d{2})" + _CLOCK + _OFFSET)
_YEAR_MONTH = re.compile(r"\d{4}[-/]\d{1,2}")
_WORDS = re.compile(
    rf"(?:{_MONTH}[- ]\d{{4}}|\d{{1,2}}[- ]{_MONTH}[- ](?:\d{{4}}|\d{{2}})|{_MONTH} \d{{1,2}},? \d{{4}}){_CLOCK}", re.I
)
_CHINESE = re.compile(r"\d{4}年\d{1,2}月(?P<day>\d{1,2}日)?")
_QUARTER = re.compile(r"\d{4}[- ]?Q[1-4]")
_DATES = (_YEAR_FIRST, _YEAR_LAST, _YEAR_MONTH, _WORDS, _CHINESE, _QUARTER)
_DIGITS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_EPOCHS = {10: "s", 13: "ms", 16: "us", 19: "ns"}

_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


@dataclass(frozen=True)
class _Writing:
    kind: str  # "iso", "format", "words", "quarter", "epoch", "integer"
    detail: str = ""  # the strptime format, or the unit


def _folded(name: Any) -> str:
    return re.sub(r"[\s-]+", "_", str(name).strip("<>\"' \ufeff").casefold())


def is_time_name(name: Any) -> bool:
    """Returns whether a column of this name usually holds stamps.

    Example:
        >>> is_time_name("Date Time"), is_time_name("日期"), is_time_name("Close")
        (True, True, False)
    """
    return _folded(name) in TIME_NAMES


def is_stamp(text: str) -> bool:
    """Returns whether a text can only be a date: digits alone are not enough.

    Example:
        >>> is_stamp("2020-01-31 09:30"), is_stamp("20200131"), is_stamp("1234.56")
        (True, False, False)
    """
    return any(pattern.fullmatch(text) for pattern in _DATES)


def first_row(mask: pd.Series) -> int:
    """Returns the row number of the first true value."""
    return int(mask.index[int(mask.to_numpy().argmax())])


def find_time(frame: pd.DataFrame) -> str | None:
    """Returns the column that holds the stamps: by its name, else the first column that holds dates."""
    named = [name for name in frame if is_time_name(name)]
    named.sort(key=lambda name: TIME_NAMES.index(_folded(name)))
    heads = {name: _head(frame[name]) for name in frame}
    for name in named:
        if _writing(heads[name], name):
            return str(name)
    for name, head in heads.items():
        if head and all(is_stamp(value) for value in head):
            return str(name)
    for name in named:  # reading such a column will say which cell is no date
        if _folded(name) in _CERTAIN and not all(re.fullmatch(r"[-+.\d]+", value) for value in heads[name]):
            return str(name)
    return None


def _head(column: pd.Series, rows: int = 20) -> list[str]:
    return [text for value in column.iloc[: 5 * rows].dropna() if (text := str(value).strip())][:rows]


def _writing(head: list[str], name: Any, day_first: bool = False, asked: bool = False) -> _Writing | None:
    if head and all(re.fullmatch(r"\d+", value) for value in head):
        return _digits(head, _folded(name), asked)
    for value in head:
        if (match := _YEAR_FIRST.fullmatch(value)) and not match["half"]:
            return _Writing("iso")
        if match:
            return _Writing("format", _format("%Y{0}%m{0}%d", match))
        if _YEAR_MONTH.fullmatch(value):
            return _Writing("iso")
        if match := _YEAR_LAST.fullmatch(value):
            year = "%Y" if len(match["year"]) == 4 else "%y"
            return _Writing("format", _format(("%d{0}%m{0}" if day_first else "%m{0}%d{0}") + year, match))
        if _WORDS.fullmatch(value):
            return _Writing("words")
        if match := _CHINESE.fullmatch(value):
            return _Writing("format", "%Y年%m月%d日" if match["day"] else "%Y年%m月")
        if _QUARTER.fullmatch(value):
            return _Writing("quarter")
    return None


def _format(date: str, match: re.Match[str]) -> str:
    clock = ""
    if match["clock"]:
        clock = match["clock"][0] + ("%I" if match["half"] else "%H") + ":%M"
        clock += (":%S" if match["seconds"] else "") + (".%f" if match["part"] else "")
        clock += (" %p" if match["half"].startswith(" ") else "%p") if match["half"] else ""
    offset = (" %z" if match["offset"].startswith(" ") else "%z") if match["offset"] else ""
    return date.format(match["mark"]) + clock + offset


def _digits(head: list[str], name: str, asked: bool) -> _Writing | None:
    lengths = {len(value) for value in head}
    length = lengths.pop() if len(lengths) == 1 else 0
    if length in _DIGITS and (length > 4 or name in ("year", "date", "ds") or asked):
        dates = pd.to_datetime(pd.Series(head), format=_DIGITS[length], errors="coerce")
        if dates.notna().all() and dates.dt.year.between(1500, 2500).all():
            return _Writing("format", _DIGITS[length])
    if length in _EPOCHS:
        return _Writing("epoch", _EPOCHS[length])
    return _Writing("integer") if name in _INTEGERS or asked else None


def read_stamps(
    column: pd.Series, *, place: Place, notes: list[str], day_first: bool = False, asked: bool = False
) -> pd.Series:
    """Returns a column as dates, or as integers where it holds plain numbers.

    One offset from UTC in all stamps is kept as the time zone; stamps of several are read as UTC.

    Args:
        column: Texts, numbers or dates; its index holds row numbers.
        place: Says where a row stands, for messages.
        notes: Receives a sentence on what was decided.
        day_first: Read 01/02/2020 as the first of February.
        asked: The user named this column, so that any integers will do.

    Raises:
        DataError: A stamp is missing, no date, or written unlike the first.

    Example:
        >>> read_stamps(pd.Series(["19580329", "19580405"], name="date"), place=str, notes=[]).dt.day.tolist()
        [29, 5]
    """
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if column.dtype.kind == "M":
        return _complete(column, column, place)
    if column.dtype.kind in "iu":
        texts = column.astype("str")
    elif column.dtype.kind == "f":
        whole = column.notna() & (column % 1 == 0)
        texts = column.where(whole, 0).astype("int64").astype("str").where(whole, column.astype("str"))
    else:
        texts = column if pd.api.types.is_string_dtype(column) else column.astype("str")
    head = _head(texts)
    writing = _writing(head, column.name, day_first, asked)
    if writing is None:
        row = first_row(~texts.map(lambda value: is_stamp(str(value))).astype(bool))
        raise _no_date(column.name, texts[row], place(row))
    parsed = _parse(texts, writing, place, notes)
    bad = parsed.isna()
    if bad.any():  # blanks around a stamp, or the hour's leading zero left out
        retried = _parse_again(texts[bad].str.strip(), writing, parsed)
        parsed = parsed.fillna(retried) if retried.notna().any() else parsed
    _complete(parsed, texts, place, writing, head)
    if writing.kind == "integer":
        return parsed.astype("int64")
    if writing.kind == "epoch":
        notes.append(f"Column {column.name!r} holds {_UNITS[writing.detail]} since 1970; it is read as UTC.")
    if writing.detail.startswith("%m") and (parsed.dt.day <= 12).all():
        notes.append(f"Dates such as {head[0]!r} are read month first; `day_first` reads them the other way.")
    return parsed


def _parse(texts: pd.Series, writing: _Writing, place: Place, notes: list[str]) -> pd.Series:
    if writing.kind in ("integer", "epoch"):
        numbers = pd.to_numeric(texts, errors="coerce")
        numbers = numbers.where(numbers % 1 == 0)
        if writing.kind == "integer":
            return numbers
        return pd.to_datetime(numbers, unit=cast(Unit, writing.detail), utc=True)
    if writing.kind == "quarter":
        good = texts.str.fullmatch(_QUARTER.pattern, na=False)
        stamps = pd.PeriodIndex(texts[good].str.replace("[- ]", "", regex=True), freq="Q").to_timestamp()
        return pd.Series(stamps, index=texts.index[good]).reindex(texts.index)
    if writing.kind == "words":
        good = texts.str.fullmatch(_WORDS.pattern, case=False, na=False)
        return pd.to_datetime(texts.where(good), format="mixed", errors="coerce")
    how = "ISO8601" if writing.kind == "iso" else writing.detail
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # pandas 2.2 warns where pandas 3 raises
            parsed = pd.to_datetime(texts, format=how, errors="coerce")
    except (ValueError, FutureWarning):  # several offsets, or stamps without one among them
        parsed = pd.to_datetime(texts, format=how, errors="coerce", utc=True)
    if parsed.dt.tz is None:
        return parsed
    offsets = texts.str.extract(r":.*(Z|[+-]\d{2}:?\d{2})\s*$", expand=False)
    if (naive := offsets.isna() & parsed.notna()).any():
        row = first_row(naive)
        raise DataError(
            f"All stamps must say their offset from UTC, or none. Received: {texts[row]!r} in {place(row)}, "
            "while others have one. Write all of them alike."
        )
    found = sorted(offsets.dropna().unique())
    if len(found) > 1:
        notes.append(f"Column {texts.name!r} has several offsets from UTC ({', '.join(found[:4])}); it is read as UTC.")
    return parsed


def _parse_again(texts: pd.Series, writing: _Writing, parsed: pd.Series) -> pd.Series:
    match = _YEAR_FIRST.fullmatch(str(texts.iloc[0])) if writing.kind == "iso" else None
    how = _format("%Y{0}%m{0}%d", match) if match else "ISO8601" if writing.kind == "iso" else writing.detail
    if writing.kind not in ("iso", "format") or "%z" in how:
        return pd.Series(pd.NaT, index=texts.index)
    zone = getattr(parsed.dtype, "tz", None)
    again = pd.to_datetime(texts, format=how, errors="coerce")
    return again if getattr(again.dtype, "tz", None) == zone else pd.Series(pd.NaT, index=texts.index)


def _complete(
    parsed: pd.Series, texts: pd.Series, place: Place, writing: _Writing | None = None, head: Sequence[str] = ("",)
) -> pd.Series:
    bad = parsed.isna()
    if not bad.any():
        return parsed
    row = first_row(bad)
    value, where = texts[row], place(row)
    if pd.isna(value) or str(value).strip() in ("", "NaT", "nan", "None"):
        raise DataError(
            f"Every row needs a stamp in column {texts.name!r}. Received: none in {where}. Give it, or remove the row."
        )
    detail = writing.detail if writing else ""
    if detail.startswith(("%m", "%d")) and detail[1] != detail[4]:
        swapped = "%" + detail[4] + detail[2] + "%" + detail[1] + detail[5:]
        if pd.to_datetime(texts, format=swapped, errors="coerce", utc=True).notna().all():
            raise DataError(
                f"Dates are read month first unless `day_first` is set. Received: {value!r} in {where}, "
                "which can only be day first. Say `day_first=True`."
                if detail.startswith("%m")
                else f"`day_first` must fit all dates. Received: {value!r} in {where}, "
                "which can only be month first. Leave `day_first` out."
            )
    if not is_stamp(str(value).strip()):
        raise _no_date(texts.name, value, where)
    raise DataError(
        f"All dates of column {texts.name!r} must exist and be written alike. Received: {value!r} in {where}, "
        f"where the first is {head[0]!r}. Repair it, or write it like the first."
    )


def _no_date(name: Any, value: Any, where: str) -> DataError:
    return DataError(
        f"Column {name!r} must hold dates. Received: {value!r} in {where}. "
        "Write it like 2020-01-31, or name another column with `time_col`."
    )
