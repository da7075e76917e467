"""From what a user names to files: one file, all data files of a folder, or all that fit a glob.

    prices.csv      [prices.csv]                     one table
    prices/         [AAPL.csv.gz, MSFT.csv.gz]       a series each; .txt files only where nothing else lies there
    prices/A*.csv   [AAPL.csv, AMZN.csv]             a series each

Nothing here opens a file.
"""

import glob
import os
from collections import Counter
from pathlib import Path

from ..errors import DataError, SourceError, did_you_mean

SUFFIXES = (".csv", ".tsv", ".parquet", ".pq", ".txt")


def stem(path: Path) -> str:
    """Returns a file's name without what tells its format.

    Example:
        >>> stem(Path("prices/BRK.B.csv.gz"))
        'BRK.B'
    """
    name = path.name.removesuffix(".gz")
    return name[: -len(suffix(path)) or None]


def suffix(path: Path) -> str:
    """Returns the suffix that tells the format, without .gz; empty where there is none."""
    name = path.name.removesuffix(".gz").lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def find(locator: str) -> tuple[list[Path], bool]:
    """Returns `(files, many)`; where many, each file is a series of its own.

    Raises:
        SourceError: Nothing is there.
        DataError: Two files name the same series.

    Example:
        >>> find(__file__)[1]
        False
    """
    data, many = listed(locator)
    names = Counter(map(stem, data))
    for name, times in names.items():
        if times > 1:
            both = ", ".join(str(one) for one in data if stem(one) == name)
            raise DataError(
                f"Each file must name a series of its own. Received: {both}, all {name!r}. Rename all but one."
            )
    return data, many


def listed(locator: str) -> tuple[list[Path], bool]:
    """Returns `(files, many)`, whatever the files are called.

    Raises:
        SourceError: Nothing is there.
    """
    path = Path(os.path.expanduser(locator))
    if path.is_file():
        return [path], False
    if path.is_dir():
        data = sorted(one for one in path.iterdir() if one.is_file() and suffix(one) and not one.name.startswith("."))
        data = [one for one in data if suffix(one) != ".txt"] or data
        if not data:
            there = sum(1 for _ in path.iterdir())
            raise SourceError(
                f"A folder must hold data files ({', '.join(SUFFIXES)}, or these with .gz). Received: {locator} with "
                f"{there} entries and none of these. Name the folder or the file where the data lies."
            )
    elif glob.has_magic(locator):
        data = sorted(one for name in glob.glob(str(path), recursive=True) if (one := Path(name)).is_file())
        if not data:
            raise SourceError(f"A glob must fit at least one file. Received: {locator}, which fits none. Widen it.")
    else:
        raise _missing(path)
    return data, True


def _missing(path: Path) -> SourceError:
    folder = path.parent
    if not folder.is_dir():
        while not folder.parent.is_dir():
            folder = folder.parent
        return SourceError(
            f"No folder is called {str(folder)!r}.{_near(folder)} Received: {path}. Name a file, a folder or a glob."
        )
    return SourceError(f"No file is called {str(path)!r}.{_near(path)} Name a file, a folder or a glob.")


def _near(path: Path) -> str:
    try:
        return did_you_mean(path.name, os.listdir(path.parent))
    except OSError:
        return ""
