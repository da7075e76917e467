"""Panel: one or many series as flat arrays; what everything inside works on.

    ids      ["AAPL",            "IBM"      ]   (S,)
    offsets  [0,                 4,        7]   (S+1,)   series s has the rows offsets[s] .. offsets[s+1]
    ds       [t0  t1  t2  t3  |  t1  t2  t3]   (R,)     int64: UTC nanoseconds, or integers where there are no dates
    values   [.   .   .   .   |  .   .   . ]   (R, C)   float32; NaN is a missing value

Rows are sorted by stamp within a series; series keep the order in which they were first seen. Which frames can become a
panel, `pipelines/layouts.py` says; duplicates and gaps stay as they are, `pipelines/cleaning.py` sees to them.

Axes: `S` series, `R` rows of all series, `T` rows of one, `C` columns.
"""

import functools
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .calendars import Calendar
from .errors import DataError, UnknownName

_FILES = ("offsets", "ds", "values")


@dataclass(frozen=True, eq=False)
class Panel:
    """One or many series as flat arrays.

    Attributes:
        ids: Names of the series, `S` of them.
        offsets: First row of each series, and `R` `(S+1,)`.
        ds: Stamps `(R,)` int64.
        values: `(R, C)` float32.
        columns: Names of the columns, `C` of them.
        calendars: When rows of each series are due, `S` of them.
        unit: What the values are counted in, such as "dollars"; "" where nobody said.
        notes: What reading and sorting found, in sentences.

    Example:
        >>> days = pd.date_range("2024-01-01", periods=3)
        >>> print(Panel.from_frame(pd.DataFrame({"y": [1.0, 2.0, 3.0]}, index=days)))
        1 series, 3 rows, columns y, freq D, 2024-01-01 .. 2024-01-03
    """

    ids: tuple[str, ...]
    offsets: np.ndarray
    ds: np.ndarray
    values: np.ndarray
    columns: tuple[str, ...]
    calendars: tuple[Calendar, ...]
    unit: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def from_frame(cls, frame: pd.DataFrame | pd.Series, **options: Any) -> "Panel":
        """Returns the panel of a DataFrame; see `pipelines.layouts.to_panel` for layouts and options."""
        from .layouts import to_panel

        return to_panel(frame, **options)

    def __len__(self) -> int:
        return len(self.ds)

    def __str__(self) -> str:
        codes = sorted({calendar.code or "integer steps" for calendar in self.calendars})
        span = ""
        if len(self):
            first, last = (self.stamp(int(end)) for end in (self.ds.min(), self.ds.max()))
            span = f", {first} .. {last}"
        return (
            f"{len(self.ids):,} series, {len(self):,} rows, columns {', '.join(self.columns)}, "
            f"freq {', '.join(codes)}{span}"
        )

    @property
    def dated(self) -> bool:
        """True where stamps are dates, False where they are plain integers."""
        return any(calendar.code for calendar in self.calendars)

    @property
    def mapped(self) -> bool:
        """True where the values lie in a file and are read when they are needed."""
        return isinstance(self.values, np.memmap)

    def rows(self, s: int) -> slice:
        """Returns the rows of series number `s`."""
        return slice(int(self.offsets[s]), int(self.offsets[s + 1]))

    def stamp(self, ds: int, s: int = 0) -> Any:
        """Returns one stamp for people: a date without the hour where all hours are midnight, or the integer."""
        if not self.dated:
            return ds
        text = str(self.stamps_of(np.array([ds]), s)[0])
        return text.removesuffix(" 00:00:00")

    def stamps_of(self, ds: np.ndarray, s: int = 0) -> pd.DatetimeIndex | np.ndarray:
        """Returns stamps as the wall clock of series `s` shows them."""
        return self.calendars[s].stamps(ds)

    def stamp_column(self, ds: np.ndarray, series: np.ndarray) -> Any:
        """Returns stamps of rows of several series as a column of a frame.

        They carry their zone where all share one, and else show what each series' own clock shows.

        Args:
            ds: Stamps `(R,)`.
            series: Number of each one's series `(R,)`.
        """
        if not self.dated:
            return ds
        present = np.unique(series)
        zones = {self.calendars[s].zone for s in present}
        if len(zones) == 1:
            index = pd.DatetimeIndex(np.asarray(ds).view("M8[ns]"))
            zone = zones.pop()
            return index.tz_localize("UTC").tz_convert(zone) if zone else index
        result = np.empty(len(ds), "M8[ns]")
        for s in present:
            which = series == s
            result[which] = self.stamps_of(ds[which], s)
        return result

    def column(self, name: str) -> int:
        """Returns the number of a column.

        Raises:
            UnknownName: There is no such column.
        """
        if name not in self.columns:
            raise UnknownName.of("column", name, self.columns)
        return self.columns.index(name)

    def select(self, columns: Sequence[str]) -> "Panel":
        """Returns the same rows with some of the columns; a copy unless they are all, in order."""
        if tuple(columns) == self.columns:
            return self
        return replace(self, values=self.values[:, [self.column(c) for c in columns]], columns=tuple(columns))

    def take(self, series: Sequence[int]) -> "Panel":
        """Returns some of the series, by number, in the order given."""
        kept = replace(self, ids=tuple(self.ids[s] for s in series), calendars=tuple(self.calendars[s] for s in series))
        return kept._with_rows([self.rows(s) for s in series])

    def one(self, unique_id: str) -> "Panel":
        """Returns the panel of one series.

        Raises:
            UnknownName: There is no series of that name.
        """
        if unique_id not in self.ids:
            raise UnknownName.of("series", unique_id, self.ids[:50])
        return self.take([self.ids.index(unique_id)])

    def until(self, ends: np.ndarray) -> "Panel":
        """Returns each series cut before row `ends[s]`, counted over the panel."""
        return self._with_rows(list(map(slice, self.offsets[:-1].tolist(), np.asarray(ends).tolist())))

    def tail(self, rows: int) -> "Panel":
        """Returns the last rows of each series, at most `rows` of them."""
        firsts = np.maximum(self.offsets[:-1], self.offsets[1:] - rows)
        return self._with_rows(list(map(slice, firsts.tolist(), self.offsets[1:].tolist())))

    def late(self, series: Sequence[int] | np.ndarray, rows: int) -> np.ndarray:
        """Returns the last rows of some series, by number, `(S, W, C)`; NaN before their first, and for the infinite.

        Example:
            >>> hours = pd.date_range("2024-01-01", periods=2, freq="h")
            >>> panel = Panel.from_frame(pd.DataFrame({"y": [1.0, 2.0]}, index=hours))
            >>> panel.late([0], 3)[..., 0]
            array([[nan,  1.,  2.]], dtype=float32)
        """
        which = np.asarray(series, np.int64)
        at = self.offsets[1:][which, None] - rows + np.arange(rows)  # (S, W)
        values: np.ndarray = self.values[np.maximum(at, 0)]
        values[at < self.offsets[:-1][which, None]] = np.nan
        values[np.isinf(values)] = np.nan
        return values

    def _with_rows(self, spans: Sequence[slice]) -> "Panel":
        """Returns the panel whose series hold these rows of this one, one span for each series."""
        return replace(
            self,
            offsets=np.cumsum([0, *(span.stop - span.start for span in spans)]),
            ds=np.concatenate([self.ds[:0], *(self.ds[span] for span in spans)]),
            values=np.concatenate([self.values[:0], *(self.values[span] for span in spans)]),
        )

    def extend(self, steps: int) -> tuple["Panel", tuple[str, ...]]:
        """Returns the panel with `steps` empty rows after each series, and the ids whose stamps are provisional."""
        S, C = len(self.ids), len(self.columns)
        old, new = self.offsets, self.offsets + steps * np.arange(S + 1)
        ds = np.empty(new[-1], np.int64)
        values = np.full((new[-1], C), np.nan, np.float32)
        provisional = []
        after = functools.cache(Calendar.after)  # most series end together
        for s in range(S):
            end = new[s + 1] - steps
            ds[new[s] : end] = self.ds[old[s] : old[s + 1]]
            values[new[s] : end] = self.values[old[s] : old[s + 1]]
            ds[end : new[s + 1]], beyond = after(self.calendars[s], int(self.ds[old[s + 1] - 1]), steps)
            if beyond:
                provisional.append(self.ids[s])
        return replace(self, offsets=new, ds=ds, values=values), tuple(provisional)

    def frame(self) -> pd.DataFrame:
        """Returns the long DataFrame: `unique_id`, `ds`, and the columns."""
        series = np.repeat(np.arange(len(self.ids)), np.diff(self.offsets))
        stamps = self.stamp_column(self.ds, series)
        columns = {name: self.values[:, c] for c, name in enumerate(self.columns)}
        return pd.DataFrame({"unique_id": np.array(self.ids, object)[series], "ds": stamps, **columns})

    def fingerprint(self) -> str:
        """Returns the sha256 of ids, stamps and values: the same data has the same one, in whatever order it came."""
        order = sorted(range(len(self.ids)), key=self.ids.__getitem__)
        counts = np.diff(self.offsets)[order].tolist()
        digest = hashlib.sha256(json.dumps([[self.ids[s] for s in order], counts, self.columns]).encode())
        for array in (self.ds, self.values):
            for s in order:
                rows = self.rows(s)
                for first in range(rows.start, rows.stop, 1 << 20):
                    digest.update(np.ascontiguousarray(array[first : min(first + (1 << 20), rows.stop)]).tobytes())
        return digest.hexdigest()

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the panel as plain .npy files and one JSON file, from where `open` maps it."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name in _FILES:  # beside the old ones first: this panel may be mapped from them
            np.save(path / f".{name}.tmp.npy", getattr(self, name), allow_pickle=False)
        (path / "panel.json").unlink(missing_ok=True)
        for name in _FILES:
            os.replace(path / f".{name}.tmp.npy", path / f"{name}.npy")
        about = {
            "ids": self.ids,
            "columns": self.columns,
            "calendars": [[calendar.code, calendar.zone] for calendar in self.calendars],
            "unit": self.unit,
            "notes": self.notes,
        }
        temporary = path / ".panel.json.tmp"
        temporary.write_text(json.dumps(about), encoding="utf-8")
        os.replace(temporary, path / "panel.json")  # last, so that a killed save opens as no panel
        return path

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> "Panel":
        """Maps a saved panel: rows are read from disk when they are needed, so data larger than memory trains.

        Raises:
            DataError: The folder holds no complete panel.
        """
        path = Path(folder)
        missing = [name for name in ("panel.json", *(f"{n}.npy" for n in _FILES)) if not (path / name).is_file()]
        if missing:
            raise DataError(
                f"A saved panel has panel.json, offsets.npy, ds.npy and values.npy. Missing in {path}: "
                f"{', '.join(missing)}. Write it again with Panel.save."
            )
        try:
            about = json.loads((path / "panel.json").read_text(encoding="utf-8"))
            offsets, ds, values = (
                np.load(path / f"{name}.npy", mmap_mode=None if name == "offsets" else "r", allow_pickle=False)
                for name in _FILES
            )
            pairs = [(code, zone) for code, zone in about["calendars"]]
            made = {pair: Calendar(*pair) for pair in set(pairs)}  # few, of thousands of series
            panel = cls(
                ids=tuple(about["ids"]),
                offsets=offsets,
                ds=ds,
                values=values,
                columns=tuple(about["columns"]),
                calendars=tuple(made[pair] for pair in pairs),
                unit=about["unit"],
                notes=tuple(about["notes"]),
            )
        except (ValueError, EOFError, KeyError, TypeError) as error:
            raise DataError(
                f"The files of a saved panel must be as Panel.save wrote them. Received in {path}: {error}. "
                "Write it again."
            ) from None
        S, R, C = len(panel.ids), len(ds), len(panel.columns)
        rising = offsets.shape == (S + 1,) and offsets[0] == 0 and offsets[-1] == R and (np.diff(offsets) >= 0).all()
        if not rising or values.shape != (R, C) or ds.dtype != np.int64 or len(panel.calendars) != S:
            raise DataError(
                f"The files of a saved panel must agree. Received in {path}: {S} ids, offsets to {offsets[-1:]}, "
                f"{R} stamps, values {values.shape}. Write it again with Panel.save."
            )
        return panel
