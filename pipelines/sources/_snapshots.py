"""What Yahoo answered, and when: an append-only store, and the arithmetic that makes its answers comparable.

    as served (split-adjusted up to the day of the answer)  --as_traded-->  as traded  --adjusted-->  as of a last row

    split 4:1 on day 3      day  1    2    3    4
    as traded                    400  404  101  102       never changes again
    served on day 2              400  404                 Yahoo knows no split yet
    served on day 4              100  101  101  102       Yahoo has rewritten days 1 and 2
    as of day 2                  400  404                 the same from either answer
    as of day 4                  100  101  101  102

    <store>/symbol=AAPL/interval=1d/20240131T210500000000Z_20150101.parquet    one answer: it came, asked from
    <store>/revisions/20240201T210500000000Z_AAPL_1d.parquet                   what it says unlike earlier ones

Every answer reaches from the day it was asked for until the day it came, so it holds every split that its own rows
were adjusted by. Answers are therefore joined and compared as traded: the newest wins over all days it covers, and a
later split is not a revision. Files are added, each under its final name at once, and never changed; `prune` removes
old ones. No network is used here.

Source: CRSP's adjustment factors, https://www.crsp.org (Data Descriptions Guide, "Adjusted Data"); Yahoo follows them:
https://help.yahoo.com/kb/SLN28256.html
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from ..errors import ConfigError, NoData, SourceError

PRICES = ["Open", "High", "Low", "Close"]
COLUMNS = [*PRICES, "Adj Close", "Volume", "Dividends", "Stock Splits"]

# Two answers agree within these relative differences: prices come as float32, old volumes and dividends rounded.
TOLERANCES = {**dict.fromkeys(PRICES, 2e-5), "Volume": 2e-3, "Dividends": 2e-3, "Stock Splits": 1e-6}

EVER = pd.Timestamp("1800-01-01")  # the start of an answer that was asked for all there is
_STAMP = "%Y%m%dT%H%M%S%fZ"
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Answer:
    """One answer of Yahoo for one symbol.

    Args:
        symbol: In capitals.
        interval: "1d", "1wk" or "1mo".
        start: First day asked for; `EVER` for all there is.
        fetched_at: When it came, UTC.
        meta: What Yahoo says of the symbol: `exchange`, `timezone`, `currency`, `kind`.
        rows: `COLUMNS` over dates without a zone. Rows without any price are kept: they may carry a dividend or split.
    """

    symbol: str
    interval: str
    start: pd.Timestamp
    fetched_at: pd.Timestamp
    meta: dict[str, str]
    rows: pd.DataFrame


@dataclass(frozen=True)
class Entry:
    """An answer in the store, known by its file's name alone."""

    fetched_at: pd.Timestamp
    start: pd.Timestamp
    path: Path


@dataclass(frozen=True)
class History:
    """The rows of one symbol as traded, joined from answers; `since` is the first day they cover."""

    newest: Answer
    since: pd.Timestamp
    traded: pd.DataFrame


def _product_of_later(factors: pd.Series) -> pd.Series:
    """Returns for each row the product of the factors of all rows after it."""
    return factors[::-1].cumprod()[::-1].shift(-1, fill_value=1.0)


def _later_splits(splits: pd.Series) -> pd.Series:
    ratios = splits.fillna(0.0).replace(0.0, 1.0)
    wrong = ratios[~(np.isfinite(ratios) & (ratios > 0))]
    if len(wrong):
        raise NoData(
            f"A split must have a ratio > 0. Received: {wrong.iloc[0]} on {wrong.index[0]:%Y-%m-%d}. "
            "This is Yahoo's error: choose a range after that day, or another source."
        )
    return _product_of_later(ratios)


def as_traded(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns rows with all splits undone: the prices, volumes and dividends of the day itself.

    Args:
        rows: `COLUMNS` as served, with every split until the day they were served.

    Example:
        >>> rows = pd.DataFrame({"Close": [100.0, 101.0], "Volume": [40, 10], "Stock Splits": [0.0, 4.0]})
        >>> as_traded(rows.assign(Open=1.0, High=1.0, Low=1.0, Dividends=0.0))[["Close", "Volume"]].values.tolist()
        [[400.0, 10.0], [101.0, 10.0]]
    """
    later = _later_splits(rows["Stock Splits"])
    traded = rows[[*PRICES, "Volume", "Dividends", "Stock Splits"]].astype("float64")
    traded[[*PRICES, "Dividends"]] = traded[[*PRICES, "Dividends"]].mul(later, axis=0)
    traded["Volume"] /= later
    return traded


def adjusted(traded: pd.DataFrame, how: str = "splits") -> tuple[pd.DataFrame, list[str]]:
    """Returns rows as they were seen on the last of them, and sentences on what was odd.

    `Adj Close` is the close times the product of `1 - dividend / close before` over all later dividends. Yahoo counts
    the capital gains that a fund pays out among its dividends.

    Args:
        traded: Result of `as_traded`, up to the last row wanted; a row without a price gives its dividend and split
            to the next row, and is left out.
        how: What Open to Close and Volume are adjusted for: "splits", "dividends" (splits too), or "none".

    Source:
        CRSP's method, see the module.
    """
    later = _later_splits(traded["Stock Splits"])
    served = traded[[*PRICES, "Dividends"]].div(later, axis=0)
    kept = (1.0 - served["Dividends"] / served["Close"].ffill().shift(1)).fillna(1.0)
    odd = kept[~((kept > 0) & (kept <= 1))]
    factor = _product_of_later(kept.where((kept > 0) & (kept <= 1), 1.0))
    out = traded[PRICES].copy() if how == "none" else served[PRICES].copy()
    if how == "dividends":
        out = out.mul(factor, axis=0)
    out["Volume"] = np.rint((traded["Volume"] if how == "none" else traded["Volume"] * later).fillna(0)).astype("int64")
    out["Adj Close"] = served["Close"] * factor
    out["Raw"] = traded["Close"]

    priced = traded[PRICES].notna().any(axis=1)
    owner = pd.Series(traded.index, index=traded.index).where(priced).bfill()
    dividends = traded["Dividends"] if how == "none" else served["Dividends"]
    out["Dividends"] = dividends.fillna(0.0).groupby(owner).sum()
    splits = traded["Stock Splits"].fillna(0.0)
    out["Stock Splits"] = splits.replace(0.0, 1.0).groupby(owner).prod().where((splits > 0).groupby(owner).any(), 0.0)
    notes = [f"the dividend of {day:%Y-%m-%d} exceeds the price and is left out of `Adj Close`" for day in odd.index]
    return out[priced], notes


def differences(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Returns where two tables of rows as traded differ: columns `ds, column, before, after`; NaN is "no row"."""
    index = before.index.union(after.index)
    parts = []
    for column, tolerance in TOLERANCES.items():
        old, new = before[column].reindex(index), after[column].reindex(index)
        off = ~np.isclose(old, new, rtol=tolerance, atol=1e-9, equal_nan=True)
        if off.any():
            parts.append(pd.DataFrame({"ds": index[off], "column": column, "before": old[off], "after": new[off]}))
    if not parts:
        return pd.DataFrame(columns=["ds", "column", "before", "after"])
    return pd.concat(parts).sort_values("ds", kind="stable").reset_index(drop=True)


class SnapshotStore:
    """A folder of answers, none of which ever changes.

    Args:
        folder: Made with the first answer.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).expanduser()

    def entries(self, symbol: str, interval: str, as_of: pd.Timestamp | None = None) -> list[Entry]:
        """Returns every answer that had come by `as_of` (`fetched_at <= as_of`), the oldest first."""
        found = [_entry(path) for path in sorted(self._folder(symbol, interval).glob("*.parquet"))]
        return [entry for entry in found if as_of is None or entry.fetched_at <= as_of]

    def _folder(self, symbol: str, interval: str) -> Path:
        """Returns where answers lie; quoted, a symbol such as "../x" is one name and stays inside."""
        return self.folder / f"symbol={quote(symbol, safe='')}" / f"interval={quote(interval, safe='')}"

    def add(self, answer: Answer) -> tuple[pd.DataFrame, pd.Timestamp | None]:
        """Files an answer, and records where it contradicts what was kept.

        Returns:
            The differences, as traded, and when the contradicted answer had come.
        """
        stamp, taken = answer.fetched_at.floor("us"), self.entries(answer.symbol, answer.interval)
        while stamp in {entry.fetched_at for entry in taken}:
            stamp += pd.Timedelta(1, unit="us")
        earlier = self.history(answer.symbol, answer.interval, since=answer.start)
        found, before = differences(_NOTHING, _NOTHING), None
        if earlier is not None:
            old, new, before = earlier.traded, as_traded(answer.rows), earlier.newest.fetched_at
            first, last = max(answer.start, earlier.since), old.dropna(how="all", subset=PRICES).index.max()
            found = differences(old.loc[first:last], new.loc[first:last])
        if len(found):
            about = {"symbol": answer.symbol, "interval": answer.interval}
            table = found.assign(**about, fetched_before=before, fetched_at=stamp)
            name = f"{stamp.strftime(_STAMP)}_{quote(answer.symbol, safe='')}_{answer.interval}.parquet"
            _write(self.folder / "revisions" / name, table, {"format": 1})
        rows = answer.rows.rename_axis("ds").reset_index().assign(symbol=answer.symbol, fetched_at=stamp)
        name = f"{stamp.strftime(_STAMP)}_{'max' if answer.start == EVER else format(answer.start, '%Y%m%d')}.parquet"
        _write(self._folder(answer.symbol, answer.interval) / name, rows, {"format": 1, "meta": answer.meta})
        return found, before

    def history(
        self, symbol: str, interval: str, *, since: pd.Timestamp = EVER, as_of: pd.Timestamp | None = None
    ) -> History | None:
        """Returns the rows as traded, back to `since` as far as answers reach without a gap; None where there are none.

        Args:
            since: Stop once the rows reach back so far.
            as_of: Read only answers that had come by then.
        """
        pieces: list[pd.DataFrame] = []
        newest, covered = None, None
        for entry in reversed(self.entries(symbol, interval, as_of)):
            if covered is not None and entry.start >= covered:
                continue
            answer = _read(entry, symbol, interval)
            rows = as_traded(answer.rows)
            if covered is not None:
                came = entry.fetched_at.tz_convert(answer.meta.get("timezone") or "UTC").tz_localize(None).normalize()
                reach = max(came - _DAY, rows.dropna(how="all", subset=PRICES).index.max())
                if reach < covered - _DAY:
                    break  # days between the two answers are unknown, and so are their splits
                rows = rows[rows.index < covered]
            pieces.append(rows)
            newest, covered = newest or answer, entry.start
            if covered <= since:
                break
        if newest is None or covered is None:
            return None
        return History(newest, covered, pd.concat(pieces[::-1]).sort_index())

    def prune(self, symbol: str, keep: int | None, since: pd.Timestamp | None) -> int:
        """Removes answers that are old and replaced by a later one that reaches back as far; returns how many.

        Args:
            keep: How many of the latest stay; None for any number.
            since: When those that stay came, at the earliest; None for any time.
        """
        gone = 0
        for folder in sorted((self.folder / f"symbol={quote(symbol, safe='')}").glob("interval=*")):
            entries = [_entry(path) for path in sorted(folder.glob("*.parquet"))][::-1]
            reach = None
            for n, entry in enumerate(entries):  # the newest first
                old = (keep is not None and n >= keep) or (since is not None and entry.fetched_at < since)
                if old and reach is not None and reach <= entry.start:
                    entry.path.unlink(missing_ok=True)
                    gone += 1
                else:
                    reach = entry.start if reach is None else min(reach, entry.start)
        return gone

    def revisions(self, as_of: pd.Timestamp | None = None) -> pd.DataFrame:
        """Returns every revision recorded by `as_of`: `ds, column, before, after, symbol, interval, fetched_*`."""
        paths = sorted((self.folder / "revisions").glob("*.parquet"))
        parts = [_table(path)[0] for path in paths if as_of is None or _fetched_at(path) <= as_of]
        return pd.concat(parts, ignore_index=True) if parts else differences(_NOTHING, _NOTHING)


_NOTHING = pd.DataFrame(columns=list(TOLERANCES), index=pd.DatetimeIndex([], dtype="datetime64[ns]"), dtype="float64")


def _fetched_at(path: Path) -> pd.Timestamp:
    try:
        return pd.to_datetime(path.name.partition("_")[0], format=_STAMP, utc=True)
    except ValueError as error:
        raise SourceError(f"Only this store writes Parquet files into it. Received: {path}. Move it away.") from error


def _entry(path: Path) -> Entry:
    start = path.stem.partition("_")[2]
    return Entry(_fetched_at(path), EVER if start == "max" else pd.Timestamp(start), path)


def _read(entry: Entry, symbol: str, interval: str) -> Answer:
    rows, note = _table(entry.path)
    return Answer(symbol, interval, entry.start, entry.fetched_at, note["meta"], rows.set_index("ds")[COLUMNS])


def _table(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # not `read_table`, which makes columns of "symbol=AAPL" in the path
            table = file.read()
        note = json.loads(table.schema.metadata[b"keras-forecast"])
        return table.to_pandas(), note
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise NoData(
            f"A snapshot must be a Parquet file that this store wrote. Received: {path} ({error}). "
            "Move the file away and load again."
        ) from error


def _write(path: Path, frame: pd.DataFrame, note: dict[str, Any]) -> None:
    """Writes beside the final name, then renames: whoever lists the folder sees all of the file or none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**table.schema.metadata, b"keras-forecast": json.dumps(note).encode()})
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as file:
                pq.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"`store` must be a folder that can be written. Received: {path.parent} ({error.strerror or error}). "
            "Choose another with store=..., or set FORECAST_HOME."
        ) from error
