"""A table or a query of any database that SQLAlchemy knows; nothing is written. Needs the extra `sql`.

    sql:postgresql+psycopg://ada:${PGPASSWORD}@db/market?table=prices
    sql:postgresql+psycopg://ada:${PGPASSWORD}@db/market?sslmode=require?query=SELECT ticker AS unique_id,
        day AS ds, close FROM prices WHERE day <= :as_of

The last `?` begins the options, one before it belongs to the URL. `${NAME}` is a variable of the environment, and the
only way to give a password: see `pipelines/databases.py`. The answer is read like a file: a column of stamps, one that
names the series where there are many, and values. `:as_of` in a query stands for the option `as_of`, a text such as
2024-01-05 or 2024-01-05 09:00:00, which the database reads as what it is compared with. A table may be `schema.table`.
"""

import datetime
import decimal
import re
from typing import Any

import pandas as pd

from ..databases import connect, reason
from ..errors import ConfigError, SourceError, UnknownName
from . import _query

EXAMPLES = (
    "sql:postgresql+psycopg://ada:${PGPASSWORD}@db/market?table=prices",
    "sql:${DATABASE_URL}?query=SELECT unique_id, ds, y FROM prices WHERE ds <= :as_of",
)

ROWS = 50_000  # fetched at once

_READS = re.compile(r"\s*(?:--[^\n]*\n\s*)*(?:select|with|values|table)\b", re.IGNORECASE)


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
        locator: SQLAlchemy's URL of the database.
        table: A table or view, with its schema before a dot where that is not the account's own.
        query: One SELECT.
        as_of: What `:as_of` in the query stands for.
        id_col: The column that names the series.
        time_col: The column of stamps.
        text: "refuse" a text in a column of numbers, or "keep" it, for whoever sorts out such rows.

    Raises:
        SourceError: The database is away, or does not answer.
        UnknownName: There is no such table or column.
        ConfigError: An option or the URL is wrong, SQLAlchemy is not installed, or the query asks for `:as_of` and none
            is given.
        DataError: The answer holds no rows, or cells that cannot be used as given.

    Example:
        >>> import sqlalchemy
        >>> with sqlalchemy.create_engine("sqlite:///prices.db").begin() as base:
        ...     _ = base.exec_driver_sql("CREATE TABLE prices (day TEXT, close REAL)")
        ...     _ = base.exec_driver_sql("INSERT INTO prices VALUES ('2024-01-04', 1.5), ('2024-01-05', 1.75)")
        >>> load("sqlite:///prices.db", table="prices")["close"].tolist()
        [1.5, 1.75]
    """
    given = {"table": table, "query": query, "as_of": as_of, "id_col": id_col, "time_col": time_col, "text": text}
    options = _query.Options.of({name: value for name, value in given.items() if value is not None})
    if options.query is not None and not _READS.match(options.query):
        raise ConfigError(f"`query` must be one SELECT, because a source only reads. Received: {options.query!r}")
    return _query.rows(_plain(_ask(locator, options)), locator, options)


def _ask(url: str, options: _query.Options) -> pd.DataFrame:
    with connect(url, SourceError) as connection:
        import sqlalchemy

        connection = connection.execution_options(postgresql_readonly=True, stream_results=True)
        try:
            what: Any
            if options.table is not None:
                what = sqlalchemy.select(sqlalchemy.literal_column("*")).select_from(_table(connection, options.table))
            else:
                what = sqlalchemy.text(options.query or "")
            result = connection.execute(what, {} if options.as_of is None else {"as_of": options.as_of})
            columns = [str(name) for name in result.keys()]  # noqa: SIM118  (no mapping)
            parts = [pd.DataFrame.from_records(part, columns=columns) for part in result.partitions(ROWS)]
        except sqlalchemy.exc.DBAPIError as error:
            raise SourceError(
                f"A database must answer. Received: {reason(error)}, from {url}. Repair the query or the database."
            ) from None
        except sqlalchemy.exc.SQLAlchemyError as error:  # a binding is missing, or it answers no rows
            raise ConfigError(
                f"`query` must be one SELECT, and :as_of the only name in it that stands for something; a job gives "
                f"it, else the option `as_of`. Received: {reason(error)}."
            ) from None
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _table(connection: Any, name: str) -> Any:
    import sqlalchemy

    schema, _, plain = name.rpartition(".")
    inspector = sqlalchemy.inspect(connection)
    schemas = inspector.get_schema_names() if schema else []
    if schema and schema not in schemas:
        raise UnknownName.of("schema", schema, schemas)
    known = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
    if plain not in known:
        raise UnknownName.of("table", plain, known)
    return sqlalchemy.table(plain, schema=schema or None)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns an answer with decimals as numbers, and days and times as stamps; those with an offset in UTC."""
    for name, dtype in frame.dtypes.items():
        if dtype.kind != "O" or isinstance(dtype, pd.StringDtype):
            continue
        kinds = {type(value) for value in frame[name].dropna().unique()}
        if kinds and kinds <= {decimal.Decimal, int, float}:
            frame[name] = frame[name].astype(float)
        elif kinds and kinds <= {datetime.date, datetime.datetime, pd.Timestamp}:
            zoned = any(getattr(value, "tzinfo", None) for value in frame[name].dropna().head(1))
            frame[name] = pd.to_datetime(frame[name], utc=zoned)
    return frame
