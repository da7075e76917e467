"""CSV, TSV and Parquet files: one file, a folder of them, or a glob.

    prices.csv            one series: dates in the index, a column each; or many, where a column names them
    prices/               many series, each named by its file: prices/AAPL.csv.gz holds AAPL
    prices/*.parquet      the same
    Hourly-train.csv      many series, one a row, as in the M4 competition: `layout="wide"`

Encoding, delimiter, decimal mark, header, column of stamps and column of ids are found out; each has an option that
decides it, and each finding that is not the plain case is a sentence in `attrs["notes"]`.
"""

import codecs
from pathlib import Path
from typing import Literal

import pandas as pd
import pydantic

from ..errors import DataError
from ..spec import Spec
from . import _layouts
from ._layouts import is_id_name
from ._merge import merge
from ._parquet import read_parquet
from ._paths import find, listed, stem, suffix
from ._stamps import is_time_name
from ._text import opened, read_text

EXAMPLES = ("prices.csv", "prices/", "data/*.parquet", "Hourly-train.csv.gz?layout=wide")

_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}


class FileOptions(Spec):
    """How files are to be read; None means: find out.

    Args:
        delimiter: One character, or tab, comma, semicolon, space.
        encoding: Such as utf-8, gb18030 or cp1252.
        decimal: "." or ",", the mark before decimals.
        day_first: Read 01/02/2020 as the first of February.
        id_col: The column that names the series.
        time_col: The column of stamps.
        layout: "single" (one series), "long" (a column names the series), "wide" (one series a row).
        header: Whether the first line holds names.
        text: What becomes of a text in a column of numbers: "refuse" the file, or "keep" it as it is.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] | None = None
    day_first: bool = False
    id_col: str | None = None
    time_col: str | None = None
    layout: Literal["single", "long", "wide"] | None = None
    header: bool | None = None
    text: Literal["refuse", "keep"] = "refuse"

    @pydantic.field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = _DELIMITERS.get(value, value) if value else value
        if value is not None and len(value) != 1:
            raise ValueError(f"`delimiter` must be one character, or tab, comma, semicolon, space. Received: {value!r}")
        return value

    @pydantic.field_validator("encoding")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            return None if value is None else codecs.lookup(value).name
        except LookupError:
            raise ValueError(
                f"`encoding` must be one that Python knows, such as utf-8, gb18030 or cp1252. Received: {value!r}"
            ) from None


def load(
    locator: str,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    day_first: bool | str = False,
    id_col: str | None = None,
    time_col: str | None = None,
    layout: str | None = None,
    header: bool | str | None = None,
    text: str = "refuse",
) -> pd.DataFrame:
    """Returns the rows of a file, a folder of files, or all files that fit a glob.

    One series has its stamps in the index (integers where the file has none), and a column each. Many series are
    long, with `unique_id` and `ds` in front: where a column names the series, where each file is one, and from the
    wide layout, whose values are called `y`. Numbers of text files are float64; rows keep their order.

    Args:
        locator: A path, or a glob with `*`, `?`, `[...]` or `**`.
        delimiter: One character, or "tab", "comma", "semicolon", "space" (any run of blanks, which is never guessed).
        encoding: Such as "utf-8", "gb18030" or "cp1252".
        decimal: "." or ",", the mark before decimals; the other one may group thousands.
        day_first: Read 01/02/2020 as the first of February.
        id_col: The column that names the series.
        time_col: The column of stamps.
        layout: "single", "long" or "wide" (one series a row).
        header: Whether the first line holds names.
        text: "refuse" a text in a column of numbers, or "keep" it, for whoever sorts out such rows.

    Raises:
        SourceError: A file is missing or cannot be read.
        DataError: A file holds no table, or cells that cannot be used as given.
        ConfigError: An option is wrong.
        UnknownName: A named column does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "prices.csv").write_text("Datum;Preis\\n2020-01-02;1,5\\n2020-01-03;1,75\\n")
        ...     load(folder + "/prices.csv")["Preis"].tolist()
        [1.5, 1.75]
    """
    given = {"delimiter": delimiter, "encoding": encoding, "decimal": decimal, "day_first": day_first}
    options = FileOptions.of(
        {**given, "id_col": id_col, "time_col": time_col, "layout": layout, "header": header, "text": text}
    )
    paths, many = find(locator)
    read = [_one(path, options) for path in paths]
    frame, notes = merge(paths, read) if many else read[0]
    frame.attrs["notes"] = notes
    return frame


def files(locator: str) -> list[tuple[Path, str]]:
    """Returns each file that a locator names, and what its series is called where it is one and has no name.

    Raises:
        SourceError: Nothing is there.
    """
    return [(path, stem(path)) for path in listed(locator)[0]]


def _one(path: Path, options: FileOptions) -> tuple[pd.DataFrame, list[str]]:
    wide = options.layout == "wide"
    with opened(path, "utf-16") as stream:  # magic numbers may hold NUL
        magic = stream.read(4)
    if magic == b"PAR1" or suffix(path) in (".parquet", ".pq"):
        table = read_parquet(path)
    elif magic[:2] == b"PK" or magic == b"\xd0\xcf\x11\xe0":
        raise DataError(
            f"A table must be CSV, TSV or Parquet. Received: {path.name}, a workbook or an archive. Save it as CSV."
        )
    else:

        def as_text(name: str) -> bool:
            return is_time_name(name) or is_id_name(name) or name in (options.id_col, options.time_col)

        given = options.model_dump(include={"delimiter", "encoding", "decimal", "header"})
        table = read_text(path, as_text=as_text, wide=wide, **given)
    if table.frame.empty:
        raise DataError(f"A table must hold rows. Received: none in {path.name}. Give a file with rows.")
    if wide:
        frame = _layouts.wide(table, options.id_col)
    else:
        frame = _layouts.rows(
            table,
            layout=options.layout,
            id_col=options.id_col,
            time_col=options.time_col,
            day_first=options.day_first,
            text=options.text,
        )
    return frame, table.notes
