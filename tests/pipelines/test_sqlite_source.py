"""SQLite: a table or a query, read like a file, and never written."""

import contextlib
import re
import sqlite3

import pandas as pd
import pytest

from pipelines.errors import ConfigError, DataError, SourceError, UnknownName
from pipelines.sources import absolute, load


@pytest.fixture
def base(tmp_path):
    """A database of two stocks; and a view, an empty table, and a column with one text."""
    path = tmp_path / "prices.db"
    days = ["2024-01-03", "2024-01-04", "2024-01-05"]
    rows = [(ticker, day, 10.0 * n + d) for n, ticker in enumerate(("IBM", "AAPL")) for d, day in enumerate(days)]
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE prices (ticker TEXT, day TEXT, close REAL)")
        connection.executemany("INSERT INTO prices VALUES (?, ?, ?)", rows)
        connection.execute("CREATE VIEW ibm AS SELECT day, close FROM prices WHERE ticker = 'IBM'")
        connection.execute("CREATE TABLE blank (day TEXT, close REAL)")
        connection.execute("CREATE TABLE broken AS SELECT * FROM prices")
        connection.execute("UPDATE broken SET close = 'oops' WHERE ticker = 'IBM' AND day = '2024-01-04'")
    return path


def test_a_table_is_read_like_a_file(base):
    frame = load(f"sqlite:{base}?table=prices")
    assert frame.columns.tolist() == ["unique_id", "ds", "close"]
    assert frame["unique_id"].tolist() == ["IBM"] * 3 + ["AAPL"] * 3
    assert frame["ds"].tolist() == list(pd.to_datetime(["2024-01-03", "2024-01-04", "2024-01-05"])) * 2
    assert frame["close"].tolist() == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]


def test_a_view_of_one_series_has_its_stamps_in_the_index(base):
    frame = load(f"sqlite:{base}?table=ibm")
    assert (frame.index.name, frame["close"].tolist()) == ("day", [0.0, 1.0, 2.0])


def test_a_query_is_answered_as_of(base):
    query = "SELECT ticker AS unique_id, day AS ds, close AS y FROM prices WHERE date(day) <= :as_of"
    frame = load(f"sqlite:{base}?query={query}", as_of="2024-01-04")
    assert frame["y"].tolist() == [0.0, 1.0, 10.0, 11.0]


def test_a_null_is_missing_and_a_text_among_numbers_is_refused_or_kept(base):
    query = "SELECT day, nullif(close, 1) AS y FROM ibm"
    assert load(f"sqlite:{base}?query={query}")["y"].isna().tolist() == [False, True, False]
    with pytest.raises(DataError, match=r"'oops' in row 2 of broken in prices\.db"):
        load(f"sqlite:{base}?table=broken")
    assert load(f"sqlite:{base}?table=broken", text="keep")["close"].tolist() == [0.0, "oops", 2.0, 10.0, 11.0, 12.0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ("table=price", UnknownName, "No table is called 'price'. Did you mean 'prices'?"),
        ("", ConfigError, "Give `table` or `query`, one of them"),
        ("table=prices&query=SELECT 1", ConfigError, "Give `table` or `query`, one of them"),
        ("table=blank", DataError, "A table must hold rows. Received: none from blank"),
        ("query=SELECT day FROM prices WHERE day < :as_of", ConfigError, ":as_of the only name"),
        ("query=SELECT 1; SELECT 2", ConfigError, "`query` must be one SELECT"),
        ("query=SELEC 1", SourceError, 'Received: near "SELEC": syntax error'),
        ("query=DELETE FROM prices", SourceError, "readonly database"),
        ("query=SELECT * FROM prices&time_col=date", UnknownName, "No column is called 'date'"),
    ],
)
def test_what_cannot_be_read_is_named(base, options, error, message):
    mark = "?" if options else ""
    with pytest.raises(error, match=re.escape(message)):
        load(f"sqlite:{base}{mark}{options}")
    assert len(load(f"sqlite:{base}?table=prices")) == 6


def test_a_database_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(SourceError, match="A database must be a file"):
        load(f"sqlite:{tmp_path}/none.db?table=prices")
    (tmp_path / "text.db").write_text("no database, but a text of more than a hundred letters. " * 10)
    with pytest.raises(SourceError, match="file is not a database"):
        load(f"sqlite:{tmp_path}/text.db?table=prices")
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


def test_its_path_is_made_absolute_for_a_bundle(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:prices.db?table=prices") == f"sqlite:{tmp_path}/prices.db?table=prices"
