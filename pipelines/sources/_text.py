"""Reads one text table in one pass: opens it, and cuts it into columns of numbers and of text.

    bytes -- gzip? -- no NUL -- sniff the first 64 KB -- rows by Arrow -------------- table
                                                    `--- or by pandas' C parser -'

Arrow reads several times as fast, so it goes first; what it refuses (other encodings, short rows, a text further down
a column of numbers) the C parser reads or explains. Both leave columns of text as they stand. Numbers are float64.
Nothing here knows of series or time.
"""

import contextlib
import csv
import gzip
import io
import itertools
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from ..errors import DataError, SourceError
from ._encoding import sniff_encoding, undecodable
from ._sniff import MISSING, Dialect, number_pattern, sniff
from ._table import Table

SAMPLE = 64 * 1024
LONGEST_LINE = 16 * 1024 * 1024


class _Guarded(io.RawIOBase):
    """Passes bytes on, and refuses NUL: parsers read it as the end of a cell and say nothing."""

    def __init__(self, inner: Any, file: str, text: bool) -> None:
        self._inner, self._file, self._text, self._seen = inner, file, text, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._inner.readinto(buffer)
        if self._text and (at := bytes(buffer[:count]).find(0)) >= 0:
            raise DataError(
                f"A text file must not hold NUL bytes. Received: one at byte {self._seen + at:,} of {self._file}, "
                "which is binary or damaged. Write the file again."
            )
        self._seen += count
        return count

    def close(self) -> None:
        self._inner.close()
        super().close()


@contextlib.contextmanager
def opened(path: Path, encoding: str = "utf-8") -> Iterator[io.BufferedReader]:
    """Opens a file that may be compressed, whatever its name says.

    Raises:
        SourceError: It cannot be read, or its compressed part ends early.
    """
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            inner: Any = gzip.GzipFile(fileobj=raw) if packed else raw
            yield io.BufferedReader(_Guarded(inner, path.name, not encoding.startswith("utf-16")), 1 << 20)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(
            f"A compressed file must be whole. Received: {path} breaks off or is damaged ({error}). Fetch it again."
        ) from None
    except OSError as error:
        raise SourceError(f"A file must be readable. Received: {path}, {error.strerror or error}.") from None


def read_text(path: Path, *, as_text: Callable[[str], bool], wide: bool = False, **given: Any) -> Table:
    """Returns the table of a delimited text file.

    Args:
        path: The file, gzip or not.
        as_text: Which columns, by name, must stay text even if they look like numbers.
        wide: Every column but the first holds numbers.
        given: `delimiter`, `encoding`, `decimal`, `header`; None is sniffed.

    Raises:
        SourceError: The file cannot be read.
        DataError: It holds no table.
    """
    sample, whole = _sample(path)
    dialect = sniff(sample, path.name, whole=whole, wide=wide, **given)
    text = {name for name in dialect.names if as_text(name)}
    if wide:
        text = {dialect.names[0]}
    try:
        frame = _read(path, dialect, text, wide)
    except UnicodeDecodeError as error:
        if given.get("encoding") or dialect.encoding != "utf-8":
            raise undecodable(path.name, dialect.encoding, error) from None
        encoding, note = _later_encoding(path)  # not one such byte among the first 64 KB
        dialect = replace(dialect, encoding=encoding, notes=(note, *dialect.notes))
        frame = _read(path, dialect, text, wide)
    table = Table(frame, path.name, lambda row: _place(path, dialect, row), dialect.decimal, list(dialect.notes))
    for name in dialect.unnamed if not wide else ():
        column = frame[name]
        if column.isna().all() or (column.dtype.kind == "O" and (column.fillna("") == "").all()):
            table.frame = table.frame.drop(columns=name)
        elif name == "c0" and column.dtype.kind == "f" and len(column) > 1 and (column.diff().iloc[1:] == 1).all():
            table.frame = table.frame.drop(columns=name)
            table.notes.append("The first column has no name and holds row numbers; it was left out.")
        elif not as_text(name):
            table.notes.append(f"A column without a name is called {name}.")
    return table


def _sample(path: Path) -> tuple[bytes, bool]:
    with opened(path, "utf-16") as stream:  # NUL is judged when the encoding is known
        sample = stream.read(SAMPLE)
        while sample.count(b"\n") < 2 and len(sample) < LONGEST_LINE and (more := stream.read(SAMPLE)):
            sample += more
        return sample, not stream.read(1)


def _later_encoding(path: Path) -> tuple[str, str]:
    with opened(path) as stream:
        before = b""
        while chunk := stream.read(SAMPLE):
            found = sniff_encoding(before + chunk)
            if found[0] != "utf-8":
                return found
            before = chunk[chunk.rfind(b"\n") + 1 :]
    return "latin-1", "The file is not UTF-8; it is read as latin-1, the last resort. `encoding` names another."


def _read(path: Path, dialect: Dialect, text: set[str], wide: bool) -> pd.DataFrame:
    plain = dialect.encoding in ("utf-8", "utf-8-sig") and dialect.delimiter != " "
    if plain:
        with opened(path) as stream, contextlib.suppress(pa.ArrowInvalid):
            return _by_arrow(stream, dialect, text, wide)
    with opened(path, dialect.encoding) as stream:
        return _by_pandas(stream, dialect, text, path)


def _by_arrow(stream: io.BufferedReader, dialect: Dialect, text: set[str], wide: bool) -> pd.DataFrame:
    for _ in range(dialect.skip):
        stream.readline()
    numeric = re.compile(number_pattern(dialect.decimal))
    types = {}
    for at, name in enumerate(dialect.names):
        cells = [row[at] for row in dialect.rows if at < len(row) and row[at] not in MISSING]
        number = bool(cells or wide) and name not in text and all(map(numeric.fullmatch, cells))
        types[name] = pa.float64() if number else pa.string()
    table = pa.csv.read_csv(
        stream,
        read_options=pa.csv.ReadOptions(column_names=list(dialect.names), block_size=8 << 20),
        parse_options=pa.csv.ParseOptions(delimiter=dialect.delimiter),
        convert_options=pa.csv.ConvertOptions(
            column_types=types,
            decimal_point=dialect.decimal,
            null_values=sorted(MISSING),
            strings_can_be_null=False,  # a ticker may be called NA
        ),
    )
    for column in table.itercolumns():  # a line end inside quotes, or a quote that never ends
        if pa.types.is_string(column.type) and pa.compute.any(pa.compute.match_substring(column, "\n")).as_py():
            raise pa.ArrowInvalid("line end inside quotes")
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _by_pandas(stream: io.BufferedReader, dialect: Dialect, text: set[str], path: Path) -> pd.DataFrame:
    lines = io.TextIOWrapper(stream, encoding=dialect.encoding, newline="")
    for _ in range(dialect.skip):
        lines.readline()
    spare = "\0"  # a field more than the names is then an error in the first row, too
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # it means that fields are lost
            frame = pd.read_csv(
                lines,
                sep=r"\s+" if dialect.delimiter == " " else dialect.delimiter,
                names=[*dialect.names, spare],
                header=None,
                index_col=False,
                decimal=dialect.decimal,
                dtype=dict.fromkeys(text, "str"),
                keep_default_na=False,
                na_values={name: sorted(MISSING) for name in [*dialect.names, spare] if name not in text},
                engine="c",
                low_memory=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise _ragged(str(error), dialect, path) from None
    except pd.errors.EmptyDataError:
        raise DataError(f"A table must hold rows. Received: {path.name} has none. Give a file with rows.") from None
    if (more := frame[spare].notna().to_numpy()).any():
        raise _ragged("", dialect, path, int(more.argmax()))
    frame = frame.drop(columns=spare)
    whole = [name for name in frame if frame[name].dtype.kind in "iub"]
    return frame.astype(dict.fromkeys(whole, "float64"))


def _ragged(message: str, dialect: Dialect, path: Path, row: int | None = None) -> DataError:
    if "EOF inside string" in message:
        return DataError(
            f"Quotes must come in pairs. Received: a quote in {path.name} that never ends. Close or remove it."
        )
    found = re.search(r"in line (\d+), saw (\d+)", message)
    where = f"line {int(found[1]) + dialect.skip} of {path.name}" if found else path.name
    where = where if row is None else _place(path, dialect, row)
    return DataError(
        f"Each row must have at most {len(dialect.names)} fields, as the header or the first rows do. Received: a row "
        f"with more in {where}. Repair it, or name the `delimiter` and the `decimal` mark."
    )


def _place(path: Path, dialect: Dialect, row: int) -> str:
    # Only for messages, so the file is read again: blank lines and quoted line ends make rows and lines differ.
    with opened(path, dialect.encoding) as stream:
        lines = io.TextIOWrapper(stream, encoding=dialect.encoding, newline="", errors="replace")
        for _ in range(dialect.skip):
            lines.readline()
        reader = csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=dialect.delimiter == " ")
        ends = (reader.line_num for cells in reader if cells)
        line = None
        with contextlib.suppress(csv.Error):  # a cell of more than 128 KiB
            line = next(itertools.islice(ends, row, None), None)
    return f"row {row + 1} of {path.name}" if line is None else f"line {dialect.skip + line} of {path.name}"
