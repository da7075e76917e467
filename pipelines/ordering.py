"""Puts rows of many series one series after the other, each in time order, with little more memory than the rows.

rows as they come    b1  a2  a1  b0        number_series    b -> 0, a -> 1
rows of the panel    b0  b1  a1  a2        row_order        3, 0, 2, 1
"""

from typing import Any

import numpy as np
import pandas as pd

from .errors import DataError

BLOCK = 1 << 20  # rows looked at at once


def number_series(column: pd.Series) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the names in order of appearance, and each row's number among them `(R,)`, block by block."""
    numbers: dict[Any, int] = {}
    codes = np.empty(len(column), np.uint16)
    for a in range(0, len(column), BLOCK):
        block, found = pd.factorize(column.iloc[a : a + BLOCK])
        if (block < 0).any():
            row = a + int(np.argmax(block < 0))
            raise DataError(
                f"Every row needs the name of its series. Received none in column {column.name!r}, row {row}."
            )
        table = np.array([numbers.setdefault(name, len(numbers)) for name in found])
        if len(numbers) > np.iinfo(codes.dtype).max:
            codes = codes.astype(np.int64)
        codes[a : a + BLOCK] = table[block]
    ids = tuple(str(name) for name in numbers)
    if len(set(ids)) < len(ids):
        raise DataError(
            f"Names of series must differ as text. Received in column {column.name!r}: both 1 and '1', or the like."
        )
    return ids, codes


def row_order(
    R: int, codes: np.ndarray | None, S: int, ds_block: Any
) -> tuple[np.ndarray | None, np.ndarray, list[str]]:
    """Returns the rows in panel order (None where they are already), the offsets, and a note on what was unsorted."""
    ends = np.concatenate([[0], np.cumsum([R] if codes is None else np.bincount(codes, minlength=S))])
    mixed, backward, first_back = 0, 0, (0, 0)
    for a in range(0, R, BLOCK):
        stop = min(a + BLOCK + 1, R)
        same = np.ones(stop - a - 1, bool) if codes is None else codes[a + 1 : stop] == codes[a : stop - 1]
        ds = ds_block(slice(a, stop))
        back = same & (ds[1:] < ds[:-1])
        if not backward and back.any():
            at = int(np.argmax(back))
            first_back = (int(ds[at]), int(ds[at + 1]))
        mixed += int((~same).sum())
        backward += int(back.sum())
    if mixed == S - 1 and not backward:
        return None, ends, []
    order: np.ndarray
    if codes is None or mixed == S - 1:
        order = np.arange(R, dtype=np.uint32 if R < 2**32 else np.int64)
    else:
        order = np.argsort(codes, kind="stable").astype(np.uint32 if R < 2**32 else np.int64)  # a radix sort
    for s in range(S):
        rows = order[ends[s] : ends[s + 1]]
        ds = ds_block(rows)
        if len(ds) > 1 and (ds[1:] < ds[:-1]).any():
            order[ends[s] : ends[s + 1]] = rows[np.argsort(ds, kind="stable")]
    notes = []
    if backward:
        notes.append(_backward_note(backward, *first_back))
    elif mixed:
        notes.append("The rows of the series were mixed; they were put one series after the other.")
    return order, ends, notes


def _backward_note(count: int, before: int, after: int) -> str:
    where = f"from {before} to {after}"
    if abs(before) > 10**12:  # nanoseconds, not integer steps
        a, b = pd.Timestamp(before), pd.Timestamp(after)
        where = f"by {str(a - b).removeprefix('0 days ')}, from {a} to {b}"
    times = "once" if count == 1 else f"{count:,} times"
    return f"The clock jumps back {times} between successive rows (first {where}); the rows were sorted by stamp."
