"""What the first lines of a text file say about the rest: encoding, delimiter, decimal mark, header, columns.

    Datum;Preis                    delimiter ";"     the one that cuts all lines into equally many fields
    31.12.2020;1.234,50            decimal ","       some number can only be read so; where none decides, it is an error
    a,b  above  1,2020-01-01,5,6   one name short    row numbers stand in front
    0.78,1.61                      headerless        all of the first row is numbers or dates

It looks at a sample of bytes and reads no file. Each finding that is not the default becomes a sentence in `notes`.
"""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import NoReturn

from ..errors import DataError
from ._encoding import decode, sniff_encoding
from ._stamps import is_stamp

# The spellings of "no value" that pandas knows.
MISSING = frozenset(("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"))
MISSING |= frozenset(("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"))
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "blanks"}


@dataclass(frozen=True)
class Dialect:
    """How one text file is written.

    Args:
        encoding: A Python codec.
        delimiter: One character; a blank stands for any run of blanks.
        decimal: "." or ",".
        names: One name per field of a row.
        unnamed: Names among them that the file does not give.
        skip: Lines before the first row.
        rows: The sample's rows below the header.
        notes: What is not the default, as sentences.
    """

    encoding: str
    delimiter: str
    decimal: str
    names: tuple[str, ...]
    unnamed: tuple[str, ...]
    skip: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def number_pattern(decimal: str) -> str:
    """Returns the regular expression of one ungrouped number."""
    mark = re.escape(decimal)
    return rf"[+-]?(?:\d+(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|Inf|INF|infinity|Infinity)"


def grouped_pattern(decimal: str) -> str:
    """Returns the regular expression of a number whose thousands are grouped by the other mark."""
    mark, group = re.escape(decimal), re.escape("." if decimal == "," else ",")
    return rf"[+-]?[1-9]\d{{0,2}}(?:{group}\d{{3}})+(?:{mark}\d*)?"


def sniff(
    sample: bytes,
    file: str,
    *,
    whole: bool,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    wide: bool = False,
) -> Dialect:
    """Returns the dialect of a sample; what is given is not sniffed.

    Args:
        sample: The file's first bytes, decompressed.
        file: Its name, for messages.
        whole: Whether the sample is all of it; otherwise its last line may be cut and is left out.
        wide: One series a row: no columns to name.

    Raises:
        DataError: No rows, binary content, rows that do not fit the header, or a comma that may mean two things.
    """
    notes: list[str] = []
    if encoding is None:
        encoding, note = sniff_encoding(sample)
        notes += [note] if note else []
    text = decode(sample, encoding, file)
    if not whole:
        end = max(text.rfind("\n"), text.rfind("\r"))
        if end < 0:
            raise DataError(
                f"A line of text must end within the first {len(sample):,} bytes. Received: none does in {file}, "
                "which is probably no table. Give a CSV or Parquet file."
            )
        text = text[: end + 1]
    if delimiter is None:
        delimiter = _delimiter(text, wide)
        notes += [f"Fields are separated by {NAMES[delimiter]}."] if delimiter != "," else []
    numbered = _rows(text, delimiter, file)
    body = [row for _, row in numbered if not row[0].startswith("#")] or [row for _, row in numbered]
    if not body:
        raise DataError(f"A table must hold rows. Received: {file} is empty. Give a file with a header and rows.")
    width = max(map(len, body)) if wide else Counter(map(len, body[1:] or body)).most_common(1)[0][0]
    comments = 0
    while comments + 1 < len(numbered) and _is_comment(numbered[comments][1], width):
        comments += 1
    skip = numbered[comments - 1][0] if comments else 0
    notes += [f"Lines before the header that start with '#' were left out: {comments}."] if comments else []
    rows = [tuple(cell.strip() for cell in row) for _, row in numbered[comments:]]
    if header is None:
        header = _has_header(rows[0], wide)
        notes += [] if header else [f"The file has no header; its columns are called c0 to c{width - 1}."]
    first = rows[0] if header else ()
    if header:
        skip, rows = numbered[comments][0], rows[1:]
    if not rows:
        raise DataError(f"A table must hold rows below its header. Received: only a header in {file}. Give some rows.")
    if decimal is None:
        decimal = _decimal(rows, file)
        notes += ["Decimal commas were found: 1,5 is read as 1.5."] if decimal == "," else []
    dialect = Dialect(encoding, delimiter, decimal, (), (), skip, tuple(rows), tuple(notes))
    if not header:
        return replace(dialect, names=tuple(f"c{n}" for n in range(width)))
    names = [*first, *[""] * (width - len(first))] if wide else _header(list(first), width, rows, file)
    return _named(dialect, names, file)


def _rows(text: str, delimiter: str, file: str, limit: int = 2000) -> list[tuple[int, list[str]]]:
    # (number of the line it ends on, cells) of each row that is not blank
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=delimiter == " ")
    found: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if row and any(cell.strip() for cell in row):
                found.append((reader.line_num, row))
            if len(found) == limit:
                break
    except csv.Error as error:
        raise DataError(
            f"Rows must be text separated by {NAMES.get(delimiter, repr(delimiter))}. Received: line "
            f"{reader.line_num} of {file}, which is not: {error}. Repair that line, or name the `delimiter`."
        ) from None
    return found


def _delimiter(text: str, wide: bool) -> str:
    best, best_share = ",", 0.0
    for mark in ("\t", ";", "|", ","):
        try:
            counts = [len(row) for _, row in _rows(text, mark, "", 200) if not row[0].startswith("#")]
        except DataError:
            continue
        width, times = Counter(counts[1:] or counts or [1]).most_common(1)[0]
        share = times / max(1, len(counts[1:]) or len(counts))
        if width == 1 or not (wide or counts[0] in (width, width - 1)):
            continue
        if share > best_share:
            best, best_share = mark, share
    return best


def _is_comment(row: list[str], width: int) -> bool:
    return row[0].startswith("#") and (width == 1 or len(row) != width)


def _has_header(first: tuple[str, ...], wide: bool) -> bool:
    cells = first[1:] if wide else first
    given = [cell for cell in cells if cell not in MISSING]
    if given == [str(n) for n in range(len(given))] and (len(given) > 2 or (given and not first[0])):
        return True  # the numbered columns of a frame that had no names
    pattern = re.compile(number_pattern(".") + "|" + number_pattern(","))
    return not given or not all(pattern.fullmatch(cell) or is_stamp(cell) for cell in given)


def _decimal(rows: list[tuple[str, ...]], file: str) -> str:
    cells = {cell for row in rows for cell in row if "," in cell or "." in cell}

    def some(pattern: str, unless: str = "(?!)") -> str | None:
        return next((c for c in sorted(cells) if re.fullmatch(pattern, c) and not re.fullmatch(unless, c)), None)

    comma = some(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", grouped_pattern(".")) or some(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+")
    dot = some(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?", grouped_pattern(",")) or some(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+")
    dot = dot or some(r"[+-]?\d{1,3}(?:,\d{3}){2,}")
    unclear = some(r"[+-]?[1-9]\d{0,2},\d{3}")
    if comma and dot:
        raise DataError(
            f"A file must have one decimal mark. Received: both {comma!r} and {dot!r} in {file}. "
            "Say which one: `decimal=','` or `decimal='.'`."
        )
    if unclear and not comma and not dot:
        raise DataError(
            f"It must be clear whether a comma marks decimals or thousands. Received: {unclear!r} in {file}, which may "
            f"be {unclear.replace(',', '.')} or {unclear.replace(',', '')}, and no other number decides. "
            "Say `decimal=','` for the first, `decimal='.'` for the second."
        )
    return "," if comma else "."


def _header(names: list[str], width: int, rows: list[tuple[str, ...]], file: str) -> list[str]:
    # Names by field: "" in front for row numbers, "" behind for a delimiter at the end of every row.
    full = [row for row in rows if len(row) == width]
    if width == len(names) + 1 and all(not row[-1] for row in full):
        return [*names, ""]
    if width == len(names) + 1:
        front = [row[0] for row in full]
        if _consecutive(front) or all(is_stamp(cell) for cell in front):
            return ["", *names]
    if width != len(names):
        _misfit(names, width, file)
    return names


def _misfit(names: list[str], width: int, file: str) -> NoReturn:
    raise DataError(
        f"Each row must have one field per name of the header. Received: {len(names)} names and {width} fields in "
        f"{file}. Complete the header, or name the `delimiter` and the `decimal` mark."
    )


def _consecutive(cells: list[str]) -> bool:
    if not all(cell.isascii() and cell.isdigit() for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _named(dialect: Dialect, names: list[str], file: str) -> Dialect:
    given = [name or f"c{n}" for n, name in enumerate(names)]
    twice = [name for name, times in Counter(given).items() if times > 1]
    if twice:
        raise DataError(
            f"Column names must differ. Received: {twice[0]!r} {given.count(twice[0])} times in {file}. "
            "Rename all but one."
        )
    unnamed = tuple(name for name, own in zip(given, names, strict=True) if not own)
    return replace(dialect, names=tuple(given), unnamed=unnamed)
