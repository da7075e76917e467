"""Daily prices from Yahoo Finance, as they were seen on the last day asked for.

    yahoo:AAPL                                       all there is, one frame
    yahoo:AAPL,MSFT?start=2015-01-01&end=2020-01-01  both days inclusive; a long frame: unique_id, ds, values

    Open High Low Close    adjusted for the splits up to the last row; so are Volume (shares) and Dividends (by ex-day)
    Adj Close              the close, adjusted for the dividends up to the last row too
    Raw                    the close as it was traded
    Stock Splits           4.0 for 4:1, 0.0 where there is none

Yahoo adjusts every price for all splits up to today, so that the same request gives other numbers after each split.
Here the answer always reaches until today, its splits are undone, and what had happened by the last row is applied
again (`_snapshots.adjusted`). The same range gives the same numbers, to the precision of Yahoo's float32, whatever
comes later. The bar of a session that has not closed is left out.

    interval   "1d", "1wk" or "1mo"                   adjust    Open to Close for "splits", "dividends" too, or "none"
    offline    read the store only                    as_of     what was known then: 2024-01-31T18:00, or a day's end
    missing    "refuse" a symbol without rows, or "skip" it: `attrs["missing"]` has its name, and why
    max_age    minutes an answer in the store counts as fresh (0)        pause    seconds between symbols (0.5)
    store      folder of all answers; else $FORECAST_HOME/yahoo, else ~/.cache/keras-forecast/yahoo

Besides, Yahoo corrects prices, restates dividends and forgets symbols, days or years later, and the adjusted prices of
all rows before change with them. Whoever asks today what a model would have said a year ago must not use what was known
only later: `end` cuts rows, `as_of` cuts knowledge. With an `as_of` that is past, only answers are used that had come
by then; where the store has none, that is an error, never today's answer. Until then it asks Yahoo, as without it. A
date lasts until its end in UTC. Only what was loaded at the time can be looked back to.

`FORECAST_YAHOO_URL`, such as https://yahoo.proxy.example, is asked in place of Yahoo's hosts; the header X-Orig-Host
says which one was meant. Intraday bars are not read here, nor are currencies converted: pence stay pence.

Source: https://pypi.org/project/yfinance and https://help.yahoo.com/kb/SLN28256.html (Yahoo's adjusted close)
"""

import datetime
import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import pandas as pd
import pydantic

from ..errors import ConfigError, NoData, SourceError
from ..spec import Spec
from . import _yahoo_client as client
from ._snapshots import EVER, PRICES, History, SnapshotStore, adjusted, as_traded

EXAMPLES = ("yahoo:AAPL", "yahoo:AAPL,MSFT?start=2015-01-01&end=2020-01-01", "yahoo:^GSPC?offline=true")
RESTATES = True  # a split halves all rows before it

_SYMBOL = re.compile(r"(?=.*[A-Z0-9])[A-Z0-9.^=&_-]{1,32}")
_UNITS = {"USD": "dollars", "EUR": "euros", "GBP": "pounds", "GBp": "pence"}


class Options(Spec):
    """The options behind the question mark."""

    start: datetime.date | None = None
    end: datetime.date | None = None
    interval: Literal["1d", "1wk", "1mo"] = "1d"
    adjust: Literal["splits", "dividends", "none"] = "splits"
    offline: bool = False
    as_of: datetime.datetime | None = None
    missing: Literal["refuse", "skip"] = "refuse"
    store: str | None = None
    max_age: float = pydantic.Field(0.0, ge=0)
    pause: float = pydantic.Field(0.5, ge=0)

    @pydantic.field_validator("start", "end", "as_of", mode="before")
    @classmethod
    def _stamp(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        if value is None or value == "":
            return None
        try:
            stamp: Any = pd.Timestamp(str(value))
        except ValueError:
            stamp = pd.NaT
        if stamp is pd.NaT:
            raise ValueError(f"`{info.field_name}` must be a date such as 2015-01-31. Received: {value!r}")
        if info.field_name != "as_of":
            return stamp.date()
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)):
            stamp += pd.Timedelta("1D") - pd.Timedelta("1us")
        return (stamp.tz_localize("UTC") if stamp.tz is None else stamp.tz_convert("UTC")).to_pydatetime(warn=False)

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> "Options":
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"`start` must not lie after `end`. Received: {self.start} and {self.end}")
        return self


def load(
    locator: str,
    *,
    start: Any = None,
    end: Any = None,
    interval: str = "1d",
    adjust: str = "splits",
    offline: bool | str = False,
    as_of: Any = None,
    missing: str = "refuse",
    store: str | os.PathLike[str] | None = None,
    max_age: float | str = 0.0,
    pause: float | str = 0.5,
) -> pd.DataFrame:
    """Returns the closed bars of one symbol, or of several in a long frame.

    Args:
        locator: One symbol or several between commas, as Yahoo writes them: "AAPL", "^GSPC", "OCDO.L", "BTC-USD".
        start, end: First and last day, both inclusive; without them all there is.
        interval, adjust, offline, as_of, missing, store, max_age, pause: See the module.

    Returns:
        One symbol: `Open High Low Close Volume, Adj Close, Raw, Dividends, Stock Splits` by `Date`, the session's
        date without a zone. Several: the same behind `unique_id, ds`. `attrs` holds calendar, unit, notes, source and
        missing, which is `{symbol: why}`.

    Raises:
        ConfigError: A symbol or an option is wrong, or the store cannot be written.
        RateLimited: Yahoo still refuses after all tries.
        NoData: A symbol is unknown, has no rows in the range, no answer that had come by `as_of`, or a damaged one.
            One of several may be skipped, never all.
        SourceError: The answer did not come or cannot be read. When one of several fails, all fail; what had come is in
            the store.

    Example:
        >>> load("AAPL", start="2014-06-06", end="2014-06-09")[["Close", "Raw"]]  # doctest: +SKIP
                    Close     Raw
        Date
        2014-06-06  92.22  645.57
        2014-06-09  93.70   93.70
    """
    given: dict[str, Any] = {"start": start, "end": end, "interval": interval, "adjust": adjust, "offline": offline}
    given |= {"as_of": as_of, "missing": missing, "max_age": max_age, "pause": pause}
    given["store"] = None if store is None else str(store)
    options = Options(**given)
    symbols = list(dict.fromkeys(part.strip().upper() for part in locator.split(",")))
    for symbol in symbols:
        if not _SYMBOL.fullmatch(symbol):
            raise ConfigError(
                "A Yahoo symbol consists of letters, digits and . - = ^ & _, several are separated by commas. "
                f"Received: {symbol!r} in {locator!r}"
            )
    kept = _store(options.store)
    frames: dict[str, pd.DataFrame] = {}
    without: dict[str, str] = {}
    for symbol in symbols:
        try:
            frames[symbol] = _one(symbol, options, kept, first=symbol == symbols[0])
        except SourceError as error:
            last = symbol == symbols[-1] and not frames
            if options.missing == "refuse" or last or not isinstance(error, NoData):
                raise _with_the_others(error, symbols, list(frames), kept, options) from error
            without[symbol] = str(error)
    frame = _together(frames, options, several=len(symbols) > 1)
    frame.attrs["missing"] = without
    return frame


def prune(
    locator: str, *, keep: int | None = None, since: datetime.datetime | None = None, store: str | None = None
) -> int:
    """Removes old answers of some symbols from the store; returns how many.

    An answer goes that is not one of the last `keep`, or came before `since`, and only where a later one that stays
    reaches back as far. What was known before it came can then no longer be read.

    Args:
        locator: Symbols, as for `load`.
        keep: How many of the latest stay at least.
        since: When those that stay came.
        store: As for `load`.
    """
    symbols = dict.fromkeys(part.strip().upper() for part in locator.split(","))
    kept = _store(store)
    return sum(kept.prune(symbol, keep, None if since is None else pd.Timestamp(since)) for symbol in symbols)


def _store(folder: str | None) -> SnapshotStore:
    return SnapshotStore(folder or Path(os.environ.get("FORECAST_HOME") or "~/.cache/keras-forecast") / "yahoo")


def _one(symbol: str, options: Options, store: SnapshotStore, first: bool) -> pd.DataFrame:
    since = EVER if options.start is None else pd.Timestamp(options.start)
    as_of = None if options.as_of is None else pd.Timestamp(options.as_of)
    notes: list[str] = []
    offline = options.offline or (as_of is not None and as_of < client.now())
    if offline or _fresh(symbol, since, options, store):
        history = store.history(symbol, options.interval, since=since, as_of=as_of)
        if history is None:
            raise NoData(_not_kept(symbol, options, store))
        notes.append(f"read from the store as Yahoo answered on {history.newest.fetched_at:%Y-%m-%d %H:%M} UTC")
    else:
        if not first:
            client.sleep(options.pause)
        answer = client.fetch(symbol, since, options.interval)
        history = History(answer, since, as_traded(answer.rows))
        revised, before = store.add(answer)
        if len(revised) and before is not None:
            worst = revised.iloc[0]
            notes.append(
                f"{len(revised)} values of {revised['ds'].nunique()} rows differ from Yahoo's answer of "
                f"{before:%Y-%m-%d}, as traded; the first is {worst['column']} of {worst['ds']:%Y-%m-%d}, "
                f"{worst['before']:.6g} before, {worst['after']:.6g} now; all are in {store.folder / 'revisions'}"
            )
    # Without a start there is nothing that could be missing before the first row known.
    if options.start is not None and history.since > since:
        raise NoData(
            f"Reading {symbol} offline from {since:%Y-%m-%d} needs answers that reach back so far. Received: "
            f"{store.folder} knows it from {history.since:%Y-%m-%d} without a gap. Load it once without offline, "
            "or choose a later start."
        )
    frame = _cut(history.traded, symbol, options, notes)
    meta = history.newest.meta
    unit = "points" if meta.get("kind") == "INDEX" else _UNITS.get(meta.get("currency", ""), meta.get("currency", ""))
    frame.attrs = {"notes": [f"{symbol}: {note}." for note in notes]}
    if options.interval == "1d" and meta.get("exchange") in client.CALENDARS:
        frame.attrs["calendar"] = client.CALENDARS[meta["exchange"]]
    if unit:
        frame.attrs["unit"] = unit
    return frame


def _not_kept(symbol: str, options: Options, store: SnapshotStore) -> str:
    """Returns what to say where the store has no answer for a symbol."""
    kept = store.entries(symbol, options.interval)
    if options.as_of is None or not kept:
        asked = "offline" if options.as_of is None else f"as of {options.as_of:%Y-%m-%d %H:%M %Z}"
        return (
            f"Reading {asked} needs an earlier answer in the store. Received: none for {symbol} in {store.folder}. "
            "Load it once without offline and as_of, for the times from then on, or give the right store."
        )
    first = kept[0].fetched_at.ceil("min")
    return (
        f"Reading {symbol} as of {options.as_of:%Y-%m-%d %H:%M} UTC needs an answer that had come by then, because "
        f"what comes later may know more. Received: {store.folder}, whose earliest is of {first:%Y-%m-%d %H:%M} UTC. "
        f"Choose an as_of from then on; or write ?as_of={first:%Y-%m-%dT%H:%M} behind the symbols, to read what was "
        "known then for earlier days too."
    )


def _cut(traded: pd.DataFrame, symbol: str, options: Options, notes: list[str]) -> pd.DataFrame:
    """Returns the rows asked for as of the last of them, and adds to the notes what was left out."""
    empty = traded[PRICES].isna().all(axis=1)
    days = traded.index[~empty]
    first = days[0] if options.start is None else pd.Timestamp(options.start)
    final = days[-1] if options.end is None else pd.Timestamp(options.end)
    asked = days[(days >= first) & (days <= final)]
    if not len(asked):
        raise NoData(
            f"Yahoo has no closed bar of {symbol} from {first:%Y-%m-%d} to {final:%Y-%m-%d}. "
            f"Received: rows from {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}. Choose a range that overlaps them."
        )
    acts = (traded[["Dividends", "Stock Splits"]].fillna(0) != 0).any(axis=1)
    blank = traded.index[empty & ((traded.index < asked[-1]) | ~acts)]
    blank = blank[(blank >= first) & (blank <= max(final, asked[-1]))]
    if len(blank):
        notes.append(f"{len(blank)} rows without any value were dropped, the first is {blank[0]:%Y-%m-%d}")
    later = int((traded.loc[traded.index > asked[-1], "Stock Splits"].fillna(0) != 0).sum())
    if later:
        notes.append(f"{later} splits after {asked[-1]:%Y-%m-%d} were undone")
    frame, odd = adjusted(traded.loc[: asked[-1]], options.adjust)
    notes += odd
    return frame.loc[asked[0] :].rename_axis("Date")


def _together(frames: dict[str, pd.DataFrame], options: Options, several: bool) -> pd.DataFrame:
    """Returns the frame of the only symbol asked for, or a long frame of all that came."""
    attrs = [frame.attrs for frame in frames.values()]
    units = {symbol: frame.attrs["unit"] for symbol, frame in frames.items() if "unit" in frame.attrs}
    notes = [note for one in attrs for note in one["notes"]]
    if not several:
        frame = next(iter(frames.values()))
    else:
        frame = pd.concat(frames, names=["unique_id", "ds"]).reset_index()
        frame.attrs = {}
        calendars = {symbol: part.attrs["calendar"] for symbol, part in frames.items() if "calendar" in part.attrs}
        if calendars:
            frame.attrs["calendar"] = calendars
        if len(set(units.values())) == 1 and len(units) == len(frames):
            frame.attrs["unit"] = next(iter(units.values()))
        elif units:
            notes.append(f"The units differ: {', '.join(f'{symbol} in {unit}' for symbol, unit in units.items())}.")
    given = options.model_dump(exclude_defaults=True, exclude={"missing", "store", "max_age", "pause"})
    query = urlencode({name: str(value) for name, value in given.items()}, safe=":")
    frame.attrs["notes"] = notes
    frame.attrs["source"] = f"yahoo:{','.join(frames)}{'?' if query else ''}{query}"
    return frame


def _with_the_others(
    error: SourceError, symbols: list[str], done: list[str], store: SnapshotStore, options: Options
) -> SourceError:
    if len(symbols) == 1:
        return error
    rest = symbols[len(done) + 1 :]
    text = f"{error} Of the {len(symbols)} symbols asked for, {', '.join(done) or 'none'} succeeded"
    text += f"; {', '.join(rest)} not asked any more." if rest else "."
    if done and not (options.offline or options.as_of):
        text += f" What succeeded is kept in {store.folder}: with max_age=60 the next try asks only for the rest."
    return type(error)(text)


def _fresh(symbol: str, since: pd.Timestamp, options: Options, store: SnapshotStore) -> bool:
    limit = client.now() - pd.Timedelta(minutes=options.max_age)
    newest = store.entries(symbol, options.interval)[-1:]
    return options.max_age > 0 and any(entry.fetched_at >= limit and entry.start <= since for entry in newest)
