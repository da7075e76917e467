"""From a table to one of the layouts that `Panel.from_frame` accepts.

    single   Date | Open Close                ->   Open Close, dates in the index
    long     Date Ticker | Open Close         ->   unique_id ds Open Close
    wide     V1 V2 V3 ..., one series a row   ->   unique_id ds y, integer ds

Rows keep their order, stamps may come twice: sorting and repair are not done here.
"""

import re

import numpy as np
import pandas as pd

from ..errors import DataError, UnknownName
from ._stamps import find_time, first_row, read_stamps
from ._table import Table, numbers

# Columns that name a series, best first, where the same names and the same stamps come back.
ID_NAMES = ("unique_id", "series_id", "ticker", "symbol", "item_id", "ts_code", "股票代码", "证券代码", "id")


def is_id_name(name: object) -> bool:
    """Returns whether a column of this name may name the series."""
    return str(name).strip().casefold() in ID_NAMES


def wide(table: Table, id_col: str | None = None) -> pd.DataFrame:
    """Returns `unique_id, ds, y` of a table with one series a row.

    The first column is the id, or the one that `id_col` names; empty cells at a row's end are padding, others are
    missing values. `ds` counts 0, 1, 2, ... in each series.

    Raises:
        DataError: A cell is no number, an id comes twice or is missing, or no row holds a value.

    Example:
        >>> frame = pd.DataFrame({"V1": ["H1", "H2"], "V2": [5.0, 6.0], "V3": [7.0, None]})
        >>> wide(Table(frame, "m4.csv", str)).values.tolist()
        [['H1', 0, 5.0], ['H1', 1, 7.0], ['H2', 0, 6.0]]
    """
    column = _column(table, id_col) if id_col else str(table.frame.columns[0])
    numbers(table, keep={column}, strict=True)
    ids = _ids(table, column)
    if ids.duplicated().any():
        again = ids[ids.duplicated()]
        raise DataError(
            "In the wide layout each series must be one row. Received: "
            f"{again.iloc[0]!r} again in {table.place(int(again.index[0]))}. Remove one of the rows."
        )
    cells = table.frame.drop(columns=column).to_numpy(dtype="float64")  # (S, T)
    known = ~np.isnan(cells)
    if not known.any():
        raise DataError(f"A wide table must hold values. Received: none in {table.file}. Put a series into each row.")
    lengths = np.where(known.any(axis=1), cells.shape[1] - known[:, ::-1].argmax(axis=1), 0)  # (S,)
    if not lengths.all():
        table.notes.append(f"Rows without any value were left out: {', '.join(ids[lengths == 0].astype(str).head(5))}.")
    steps = np.arange(cells.shape[1])
    inside = steps < lengths[:, None]  # (S, T)
    return pd.DataFrame(
        {
            "unique_id": ids.to_numpy().repeat(lengths),
            "ds": np.broadcast_to(steps, cells.shape)[inside],
            "y": cells[inside],
        }
    )


def rows(
    table: Table,
    *,
    layout: str | None = None,
    id_col: str | None = None,
    time_col: str | None = None,
    day_first: bool = False,
    text: str = "refuse",
) -> pd.DataFrame:
    """Returns a table with one stamp a row as a long frame, or as one series with its stamps in the index.

    Raises:
        DataError: A stamp or an id is missing or cannot be read, or a column of numbers holds a text.
        UnknownName: There is no column that `id_col` or `time_col` names.
    """
    _drop_empty(table)
    time = _column(table, time_col) if time_col else find_time(table.frame)
    if layout is None and time is None and id_col is None:
        _refuse_wide(table)
    stamps = None
    if time is not None:
        asked = time_col is not None
        stamps = read_stamps(table.frame[time], place=table.place, notes=table.notes, day_first=day_first, asked=asked)
    name = (
        _column(table, id_col) if id_col else None if layout == "single" else _find_id(table, stamps, layout == "long")
    )
    ids = None if name is None else _ids(table, name)
    labels = {one for one in table.texts() if is_id_name(one) and _is_label(table, one)}
    numbers(table, keep={time, name, *labels}, text=text)
    values = table.frame.drop(columns=[one for one in (time, name) if one is not None])
    if values.columns.empty:
        raise DataError(f"A table must hold a column of values. Received: only {time!r} in {table.file}. Add one.")
    if ids is None:
        if stamps is None:
            return values.reset_index(drop=True)
        return values.set_index(pd.Index(stamps, name=None if time == "c0" else time))
    for taken in ("unique_id", "ds"):
        if taken in values:
            raise DataError(
                f"`unique_id` and `ds` must be free for the ids and the stamps. Received: a column {taken!r} of values "
                f"in {table.file}. Rename it, or choose other columns with `id_col` and `time_col`."
            )
    if stamps is None:
        stamps = ids.groupby(ids).cumcount()
    values.insert(0, "unique_id", ids)
    values.insert(1, "ds", stamps)
    return values.reset_index(drop=True)


def _column(table: Table, name: str) -> str:
    if name not in table.frame:
        raise UnknownName.of("column", name, map(str, table.frame), f" ({table.file})")
    return name


def _drop_empty(table: Table) -> None:
    # Spreadsheets leave rows of nothing but delimiters behind.
    frame = table.frame
    texts = table.texts()
    empty = np.full(len(frame), True)
    for name in frame:
        column = frame[name]
        empty &= (column.isna() | (column == "") if name in texts else column.isna()).to_numpy(dtype=bool)
        if not empty.any():
            return
    if not empty.all():
        table.frame = frame[~empty]
        table.notes.append(f"Rows without a single value were left out: {int(empty.sum())}.")


def _refuse_wide(table: Table) -> None:
    # "V1","V2","V3" or id,F1,F2: numbered columns behind a text that never comes twice.
    first, *others = map(str, table.frame)
    numbered = [re.fullmatch(r"([A-Za-z_]+)(\d+)", name) for name in others]
    same = {match[1] for match in numbered if match}
    if len(others) < 8 or not all(numbered) or len(same) != 1 or first not in table.texts():
        return
    if table.frame[first].is_unique and all(int(match[2]) for match in numbered if match):
        raise DataError(
            f"A table must hold one stamp a row. Received: {table.file}, which looks like one series a row (columns "
            f"{others[0]} to {others[-1]}, no dates). Say `layout='wide'`, or `layout='single'` to read it as it is."
        )


def _find_id(table: Table, stamps: pd.Series | None, forced: bool) -> str | None:
    found = [str(name) for name in table.frame if is_id_name(name)]
    found.sort(key=lambda name: ID_NAMES.index(name.strip().casefold()))
    for name in found:
        ids = table.frame[name]
        if name == "unique_id":
            return name
        if name.casefold() == "id" and not _is_label(table, name):
            continue
        if forced or _stamps_repeat(ids, stamps):
            table.notes.append(f"Column {name!r} names the series; `id_col` chooses another.")
            return name
        if ids.nunique() > 1:
            table.notes.append(
                f"Column {name!r} is not taken for the names of series, for no stamp comes back under another name; "
                "`id_col` says otherwise."
            )
    if forced:
        raise DataError(
            "The long layout needs a column that names the series. Received: columns "
            f"{', '.join(map(str, table.frame))} in {table.file}. Name one with `id_col`."
        )
    return None


def _is_label(table: Table, name: str) -> bool:
    # Names such as A1 or AAPL, not numbers alone.
    return name in table.texts() and not table.frame[name].drop_duplicates().astype("str").str.fullmatch(r"\d*").all()


def _stamps_repeat(ids: pd.Series, stamps: pd.Series | None) -> bool:
    if ids.nunique() < 2 or not ids.duplicated().any():
        return False
    if stamps is None:
        return True
    return bool(pd.DataFrame({"id": ids, "ds": stamps}).drop_duplicates()["ds"].duplicated().any())


def _ids(table: Table, name: str) -> pd.Series:
    ids = table.frame[name]
    text = ids.astype("str").str.strip()
    missing = ids.isna() | (text == "")
    if missing.any():
        where = table.place(first_row(missing))
        raise DataError(
            f"Every row needs an id in column {name!r}. Received: none in {where}. Give it, or remove the row."
        )
    return text
