"""A table or a query of a SQLite database, by the standard library; the database is opened for reading only.

    sqlite:prices.db?table=prices
    sqlite:prices.db?query=SELECT ticker AS unique_id, day AS ds, close FROM prices WHERE date(day) <= :as_of

The answer is read like a file: a column of stamps, one that names the series where there are many, and values. `:as_of`
in a query stands for the option `as_of`, a text such as 2024-01-05 or 2024-01-05 09:00:00.
"""

import contextlib
import sqlite3
from pathlib import Path

import pandas as pd

from ..errors import ConfigError, SourceError, UnknownName
from . import _query

EXAMPLES = ("sqlite:prices.db?table=prices", "sqlite:prices.db?query=SELECT unique_id, ds, y FROM prices")


def load(
    locator: str,
    *,
    table: str | None = None,
    query: str | None = None,
    as_of: str | None = None,
    id_col: str | None = None,
    time_col: str | None = None,
    text: str = "refuse",
) -> pd.DataFrame:
    """Returns the rows of a table, or what a query answers.

    Args:
        locator: Path of the database.
        table: A table or view.
        query: One SELECT.
        as_of: What `:as_of` in the query stands for.
        id_col: The column that names the series.
        time_col: The column of stamps.
        text: "refuse" a text in a column of numbers, or "keep" it, for whoever sorts out such rows.

    Raises:
        SourceError: There is no such database, or it does not answer.
        UnknownName: There is no such table or column.
        ConfigError: An option is wrong, or the query asks for `:as_of` and none is given.
        DataError: The answer holds no rows, or cells that cannot be used as given.

    Example:
        >>> with contextlib.closing(sqlite3.connect("prices.db")) as base, base:
        ...     _ = base.execute("CREATE TABLE prices (day TEXT, close REAL)")
        ...     _ = base.execute("INSERT INTO prices VALUES ('2024-01-04', 1.5), ('2024-01-05', 1.75)")
        >>> load("prices.db", query="SELECT * FROM prices WHERE day <= :as_of", as_of="2024-01-04")["close"].tolist()
        [1.5]
    """
    given = {"table": table, "query": query, "as_of": as_of, "id_col": id_col, "time_col": time_col, "text": text}
    options = _query.Options.of({name: value for name, value in given.items() if value is not None})
    path = Path(locator).expanduser()
    if not path.is_file():
        raise SourceError(f"A database must be a file. Received: {path}, which is none. Name the file.")
    return _query.rows(_ask(path, options), path.name, options)


def _ask(path: Path, options: _query.Options) -> pd.DataFrame:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            query = options.query
            if options.table is not None:
                names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type != 'index'")]
                if options.table not in names:
                    raise UnknownName.of("table", options.table, names)
                quoted = options.table.replace('"', '""')
                query = f'SELECT * FROM "{quoted}"'  # noqa: S608  (a name that is there)
            cursor = connection.execute(query or "", {} if options.as_of is None else {"as_of": options.as_of})
            columns = [column[0] for column in cursor.description or ()]
            return pd.DataFrame.from_records(cursor.fetchall(), columns=columns)
    except sqlite3.ProgrammingError as error:  # a binding is missing, or several statements
        raise ConfigError(
            f"`query` must be one SELECT, and :as_of the only name in it that stands for something; a job gives it, "
            f"else the option `as_of`. Received: {error}."
        ) from None
    except sqlite3.Error as error:
        raise SourceError(
            f"A SQLite database must answer. Received: {error}, from {path}. Repair the query or the file."
        ) from None
