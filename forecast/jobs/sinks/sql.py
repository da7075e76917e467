"""Forecasts in a table of any database that SQLAlchemy knows. Needs the extra `sql`.

Stamps are timestamps, with a time zone where those of the rows have one. Two runs that write one table wait for each
other on PostgreSQL: both would make it, or the column that it lacks. Elsewhere the database's own locks decide.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.databases import connect, reason
from pipelines.errors import ConfigError, Locked, SinkAway

PATIENCE = 30  # seconds to wait for whoever else writes

_BATCH = 20_000  # rows sent at once
_LOCKED = ("55P03", "40P01", "40001")  # PostgreSQL: not free in time, a deadlock, a conflict


def replace(url: str, table: str, job: str, as_of: str, forecasts: Path) -> None:
    """Replaces the rows of a job and an as_of by those of a Parquet file.

    Args:
        url: See `pipelines/databases.py`.
        table: A plain name, or schema.table; the table is made where there is none.

    Raises:
        Locked: Somebody else writes for too long.
        SinkAway: The database is away, or went away meanwhile.
        ConfigError: The database does not take the rows.
    """
    with connect(url, SinkAway) as connection:
        from sqlalchemy import exc

        try:
            with connection.begin():
                _wait(connection, table)
                columns = _prepare(connection, table, pq.read_schema(forecasts))
                key = (columns.c.job == job) & (columns.c.as_of == as_of)
                connection.execute(columns.delete().where(key))
                for rows in _rows(forecasts):
                    connection.execute(columns.insert(), [{"job": job, "as_of": as_of, **row} for row in rows])
        except exc.DBAPIError as error:
            said = f"Received: {reason(error)}, from table {table!r} of {url}."
            if getattr(error.orig, "sqlstate", None) in _LOCKED or "locked" in str(error.orig):
                raise Locked(f"A sink must be free within {PATIENCE} seconds. {said} Run the job again.") from None
            if error.connection_invalidated or isinstance(error, exc.OperationalError | exc.InterfaceError):
                raise SinkAway(
                    f"A sink must be there until all rows are in it. {said} It is as it was; run the job again."
                ) from None
            raise ConfigError(f"A sink must take the forecasts. {said} Repair it, or name another table.") from None
        except exc.SQLAlchemyError as error:
            raise ConfigError(
                f"A sink must take the forecasts. Received: {reason(error)}, for table {table!r} of {url}. Repair it, "
                "or name another table."
            ) from None


def _wait(connection: Any, table: str) -> None:
    """Waits until nobody else writes the table; the lock ends with the transaction."""
    import sqlalchemy

    if connection.dialect.name == "postgresql":
        connection.execute(sqlalchemy.text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
        lock = sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        connection.execute(lock, {"name": f"keras-forecast {table}"})


def _prepare(connection: Any, name: str, schema: pa.Schema) -> Any:
    """Makes the table, or the columns that it lacks; returns it with the columns to insert."""
    import sqlalchemy as sa

    place, _, plain = name.rpartition(".")
    wanted = [sa.Column("job", sa.String(200), nullable=False), sa.Column("as_of", sa.String(40), nullable=False)]
    wanted += [sa.Column(field.name, _type(field.type)) for field in schema]
    table = sa.Table(plain, sa.MetaData(), *wanted, schema=place or None)
    sa.Index(f"{plain}_run", table.c.job, table.c.as_of)
    inspector = sa.inspect(connection)
    if not inspector.has_table(plain, schema=place or None):
        table.create(connection)
        return table
    there = {column["name"] for column in inspector.get_columns(plain, schema=place or None)}
    quote = connection.dialect.identifier_preparer
    for column in table.columns:
        if column.name not in there:
            kind = column.type.compile(connection.dialect)
            text = f"ALTER TABLE {quote.format_table(table)} ADD COLUMN {quote.format_column(column)} {kind}"
            connection.execute(sa.text(text))
    return table


def _type(kind: pa.DataType) -> Any:
    import sqlalchemy as sa

    if pa.types.is_timestamp(kind):
        return sa.DateTime(timezone=kind.tz is not None)
    if pa.types.is_floating(kind):
        return sa.Double()
    return sa.Integer() if pa.types.is_integer(kind) else sa.Text()


def _rows(forecasts: Path) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(forecasts) as file:
        for batch in file.iter_batches(_BATCH):
            columns = [_whole(column) if pa.types.is_timestamp(column.type) else column for column in batch.columns]
            yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()


def _whole(stamps: pa.Array) -> pa.Array:
    """Returns stamps in microseconds, the unit of databases, as Python's own times."""
    return stamps.cast(pa.timestamp("us", stamps.type.tz), safe=False)
