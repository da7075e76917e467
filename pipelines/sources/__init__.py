"""Where rows come from. ONE FILE = ONE SOURCE; the file's name is the scheme of `scheme:locator`.

    "prices.csv"                        a bare path is source `file`
    "sample:goog"                       source `sample`, locator "goog"
    "yahoo:AAPL,MSFT?start=2015-01-01"  options stand behind the question mark

The template for another source, `pipelines/sources/mine.py`:

    \"\"\"One line: what it reads, and from where. The rest: options, limits, an example.\"\"\"

    EXAMPLES = ("mine:thing", "mine:thing?limit=10")        # shown by `forecast sources`

    def load(locator: str, *, limit: int = 0) -> pd.DataFrame:
        ...

`load` returns one of the layouts that `Panel.from_frame` accepts, never an empty frame: nothing found is a
`SourceError`. What a source knows for certain about its rows it says in `frame.attrs`, and `Panel` takes it from there:

    attrs["calendar"]   "XNYS", or {unique_id: "XNYS", ...}     attrs["unit"]    "dollars", the unit of the values
    attrs["id_col"], attrs["time_col"]   in a long frame, where they are not `unique_id` and `ds`
    attrs["notes"]      list of sentences on what was read and repaired; they head the cleaning report

Options that a job gives to a source that takes them: `as_of`, an instant in UTC after which nothing was known (a run of
an earlier day only); `missing="skip"`, to leave out names that it has nothing of: {name: why} in `attrs["missing"]`.
Beside `load` a source may have `RESTATES = True`, where earlier rows are rewritten later, all by one ratio; and
`prune`, where it keeps answers: see `yahoo`.
"""

import hashlib
import inspect
import re
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pandas as pd

from ..errors import ConfigError, did_you_mean
from ..registry import Registry

registry = Registry(__name__, "source")
PATHS = ("file", "sqlite")  # schemes whose locator is a path


def split_locator(text: str) -> tuple[str, str, dict[str, str]]:
    """Returns `(scheme, locator, options)` of a text.

    A scheme has at least two letters, so that `C:\\prices.csv` is a file.

    Example:
        >>> split_locator("yahoo:AAPL?start=2015-01-01")
        ('yahoo', 'AAPL', {'start': '2015-01-01'})
        >>> split_locator("data/prices.csv")
        ('file', 'data/prices.csv', {})
    """
    scheme, colon, rest = text.partition(":")
    if not colon or len(scheme) < 2 or not scheme.isidentifier():
        scheme, rest = "file", text
    # A glob may hold a question mark: only `?name=` begins options.
    locator, mark, query = rest.rpartition("?")
    if not mark or "=" not in query:
        return scheme, rest, {}
    return scheme, locator, dict(parse_qsl(query, keep_blank_values=True))


def name_of(data: str) -> str:
    """Returns a plain name after some data, for their only series and for a bundle.

    Example:
        >>> name_of("sample:goog"), name_of("data/prices.csv.gz"), name_of("yahoo:BRK-B?start=2015-01-01")
        ('goog', 'prices', 'BRK-B')
    """
    stem = PurePath(split_locator(data)[1].rstrip("/")).name
    stem = re.sub(r"(\.(csv|tsv|txt|parquet|gz))+$", "", stem)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")
    if not stem.isascii():  # what is left of two names may be the same: tell them apart
        plain = f"{plain or 'series'}_{hashlib.sha256(stem.encode()).hexdigest()[:6]}"
    return plain if plain and not plain.isdigit() else f"series_{plain}".strip("_")


def absolute(data: str) -> str:
    """Returns a locator that means the same from any folder; "" stays "".

    Example:
        >>> absolute("sample:goog")
        'sample:goog'
    """
    if not data:
        return ""
    scheme, locator, options = split_locator(data)
    if scheme not in PATHS:
        return data
    query = f"?{urlencode(options)}" if options else ""
    return ("" if scheme == "file" else f"{scheme}:") + f"{Path(locator).expanduser().absolute()}{query}"


def load(data: str | pd.DataFrame, **options: Any) -> pd.DataFrame:
    """Returns the rows that a locator names; a DataFrame passes through.

    Args:
        data: `scheme:locator`, a bare path, or a DataFrame.
        options: The source's own options; they go before those behind the question mark.

    Raises:
        UnknownName: No source has this scheme.
        ConfigError: The source has no such option, or an option's value is wrong.
        SourceError: The source failed or has nothing for the request.

    Example:
        >>> load("sample:goog").columns.tolist()
        ['Open', 'High', 'Low', 'Close', 'Volume', 'Adj Close']
    """
    if isinstance(data, pd.DataFrame):
        return data
    if not str(data).strip():
        raise ConfigError("Data must be a file or scheme:locator, such as sample:goog. Received: nothing.")
    scheme, locator, query = split_locator(str(data))
    source = registry.load(scheme)
    given = {**query, **options}
    known = [name for name, p in inspect.signature(source.load).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in given:
        if name not in known:
            raise ConfigError(
                f"Source {scheme!r} has no option {name!r}.{did_you_mean(name, known)} "
                f"Choose from: {', '.join(sorted(known)) or '(none)'}"
            )
    frame: pd.DataFrame = source.load(locator, **given)
    frame.attrs.setdefault("source", str(data))
    frame.attrs.setdefault("unique_id", name_of(str(data)))
    return frame
