"""Puts the tables of several files into one long frame.

    AAPL.csv  Date | Close        unique_id  ds          Close
    MSFT.csv  Date | Close   ->   AAPL       2020-01-02  75.1
                                  MSFT       2020-01-02  160.6

A file that is one series is named by its stem; files that name their series themselves keep those names.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..errors import DataError
from ._paths import stem


def merge(paths: Sequence[Path], read: Sequence[tuple[pd.DataFrame, list[str]]]) -> tuple[pd.DataFrame, list[str]]:
    """Returns the long frame of all files, and what is to be noted about them.

    Raises:
        DataError: A file's columns, stamps or kinds of values differ from those of the first.
    """
    own_ids = [frame.columns[:2].tolist() == ["unique_id", "ds"] for frame, _ in read]
    frames = [
        frame if own else _named(frame, stem(path)) for path, (frame, _), own in zip(paths, read, own_ids, strict=True)
    ]
    first = frames[0]
    for path, frame, own in zip(paths, frames, own_ids, strict=True):
        if own != own_ids[0]:
            raise DataError(
                f"Either all files or none must have a column that names the series. Received: {path.name} differs "
                f"from {paths[0].name}. Say `layout='single'` or `layout='long'`, or read them apart."
            )
        _compare(first, frame, paths[0].name, path.name)
    notes = _notes([notes for _, notes in read])
    zones = {str(frame["ds"].dt.tz) for frame in frames if frame["ds"].dtype.kind == "M"}
    if len(zones) > 1:
        frames = [frame.assign(ds=frame["ds"].dt.tz_convert("UTC")) for frame in frames]
        notes.append(f"The files have several time zones ({', '.join(sorted(zones)[:4])}); they are read as UTC.")
    merged = pd.concat([frame[first.columns] for frame in frames], ignore_index=True)
    return merged, notes


def _named(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    long = frame.copy(deep=False)
    stamps = frame.index
    long = long.reset_index(drop=True)
    for taken in ("unique_id", "ds"):
        if taken in long:
            raise DataError(
                f"`unique_id` and `ds` must be free for the ids and the stamps. Received: a column {taken!r} of values "
                f"in {name}. Rename it."
            )
    long.insert(0, "unique_id", name)
    long.insert(1, "ds", stamps)
    return long


def _compare(first: pd.DataFrame, frame: pd.DataFrame, first_file: str, file: str) -> None:
    ours, theirs = list(map(str, first.columns[2:])), list(map(str, frame.columns[2:]))
    if set(ours) != set(theirs):
        raise DataError(
            f"All files must have the same columns. Received: {', '.join(theirs)} in {file}, {', '.join(ours)} in "
            f"{first_file}. Make them agree, or read {file} by itself."
        )
    if (first["ds"].dtype.kind == "M") != (frame["ds"].dtype.kind == "M"):
        raise DataError(
            f"Either all files or none must have dates. Received: {file} and {first_file} differ. Read them apart."
        )
    if first["ds"].dtype.kind == "M" and (first["ds"].dt.tz is None) != (frame["ds"].dt.tz is None):
        raise DataError(
            f"Either all files or none must have a time zone. Received: {file} and {first_file} differ. "
            "Read them apart."
        )
    for name in ours:
        numeric = [pd.api.types.is_numeric_dtype(one[name]) for one in (first, frame)]
        if numeric[0] != numeric[1]:
            raise DataError(
                f"A column must hold numbers in all files or in none. Received: {name!r} holds "
                f"{'text' if numeric[0] else 'numbers'} in {file}, unlike in {first_file}. Repair one of them."
            )


def _notes(notes: Sequence[list[str]]) -> list[str]:
    times = Counter(sentence for one in notes for sentence in dict.fromkeys(one))
    if len(notes) == 1:
        return list(times)
    return [
        f"{'All' if count == len(notes) else f'{count} of {len(notes)}'} files: {sentence}"
        for sentence, count in times.items()
    ]
