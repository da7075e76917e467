"""Forecasts in a table of a SQLite database, by the standard library.

Stamps are text that SQLite's date functions read, with their offset where they have a zone.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ConfigError, Locked

PATIENCE = 30.0  # seconds to wait for whoever else writes

_HEAD = {"job": "TEXT NOT NULL", "as_of": "TEXT NOT NULL"}


def replace(database: Path, table: str, job: str, as_of: str, forecasts: Path) -> None:
    """Replaces the rows of a job and an as_of by those of a Parquet file.

    Args:
        database: Its file; it is made where there is none.
        table: A plain name; the table is made where there is none.

    Raises:
        Locked: Somebody else writes for too long.
        ConfigError: The database does not take the rows.
    """
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=PATIENCE, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            columns = _prepare(connection, table, pq.read_schema(forecasts))
            connection.execute(f'DELETE FROM "{table}" WHERE job = ? AND as_of = ?', (job, as_of))  # noqa: S608
            names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
            insert = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608  (plain names)
            connection.executemany(insert, ((job, as_of, *row) for row in _rows(forecasts)))
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise Locked(
                f"A sink must be free within {PATIENCE:g} seconds. Received: {error}, for {database}. Run the "
                "job again."
            ) from None
        raise ConfigError(
            f"A sink must be a SQLite database that takes the forecasts. Received: {error}, for table {table!r} of "
            f"{database}. Repair it, make room, or name another file."
        ) from None


def _prepare(connection: sqlite3.Connection, table: str, schema: pa.Schema) -> list[str]:
    """Makes the table, or the columns that it lacks; returns the columns to insert."""
    wanted = _HEAD | {field.name: _type(field.type) for field in schema}
    made = ", ".join(f'"{name}" {kind}' for name, kind in wanted.items())
    connection.execute(f'CREATE TABLE IF NOT EXISTS "{table}" ({made})')
    there = {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')}
    for name in wanted.keys() - there - _HEAD.keys():
        connection.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {wanted[name]}')
    connection.execute(f'CREATE INDEX IF NOT EXISTS "{table}_run" ON "{table}" (job, as_of)')
    return list(wanted)


def _type(kind: pa.DataType) -> str:
    return "REAL" if pa.types.is_floating(kind) else "INTEGER" if pa.types.is_integer(kind) else "TEXT"


def _rows(forecasts: Path) -> Iterator[tuple[Any, ...]]:
    with pq.ParquetFile(forecasts) as file:
        for batch in file.iter_batches():
            columns = [_texts(column) if pa.types.is_timestamp(column.type) else column for column in batch.columns]
            yield from zip(*(column.to_pylist() for column in columns), strict=True)


def _texts(stamps: pa.Array) -> pa.Array:
    """Returns stamps as text; a shard has few different ones."""
    coded = stamps.dictionary_encode()
    texts = [str(stamp) for stamp in coded.dictionary.to_pandas()]
    return pa.array(texts, pa.string()).take(coded.indices)
