"""Forecasts in a SQLite table: replaced as a whole, for their job and as_of alone."""

import contextlib
import sqlite3

import pandas as pd
import pytest

from forecast.jobs import current, run, status
from pipelines.errors import ConfigError, Locked

LAST = "2024-03-03T23:00"
SINK = [{"sqlite": "out.db", "table": "predicted"}]


def query(path, text):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return pd.read_sql_query(text, connection)


def test_a_table_holds_what_the_file_holds_and_a_second_run_adds_nothing(job, rows, tmp_path):
    path = job(sinks=SINK)
    outcome = run(path, LAST)
    run(path, LAST)
    table, file = (
        query(tmp_path / "out.db", "SELECT * FROM predicted"),
        pd.read_parquet(outcome.folder / "forecasts.parquet"),
    )
    assert set(table["job"]) == {"nightly"}
    assert set(table["as_of"]) == {"2024-03-03T23:00:00+00:00"}
    table = table.drop(columns=["job", "as_of"]).assign(
        ds=pd.to_datetime(table["ds"]), cutoff=pd.to_datetime(table["cutoff"])
    )
    pd.testing.assert_frame_equal(table, file, check_dtype=False)
    hours = query(tmp_path / "out.db", "SELECT DISTINCT strftime('%H', ds) AS hour FROM predicted")
    assert hours["hour"].tolist() == ["00", "01", "02"]


def test_rows_of_the_same_as_of_are_replaced_and_all_others_stay(job, rows, tmp_path):
    run(job(sinks=SINK), "2024-03-03T22:00")
    run(job(name="other", sinks=SINK, output="other"), LAST)
    run(job(sinks=SINK), LAST)
    changed = rows()
    changed["y"] += 1000
    last = run(job(changed, sinks=SINK), LAST)
    found = query(tmp_path / "out.db", "SELECT job, as_of, count(*) n, min(y_pred) low FROM predicted GROUP BY 1, 2")
    assert found[["job", "as_of", "n"]].values.tolist() == [
        ["nightly", "2024-03-03T22:00:00+00:00", 120],
        ["nightly", "2024-03-03T23:00:00+00:00", 120],
        ["other", "2024-03-03T23:00:00+00:00", 120],
    ]
    assert found["low"].gt(1000).tolist() == [False, True, False]
    ids = query(tmp_path / "out.db", "SELECT run_id FROM predicted")["run_id"]
    assert (ids == last.about["run_id"]).sum() == 120


def test_columns_of_other_levels_are_added(job, tmp_path):
    run(job(sinks=SINK, levels=[]), "2024-03-03T22:00")
    run(job(sinks=SINK, levels=[90]), LAST)
    found = query(tmp_path / "out.db", "SELECT as_of, count(y_pred_lo_90) n FROM predicted GROUP BY 1 ORDER BY 1")
    assert found["n"].tolist() == [0, 120]


@pytest.mark.parametrize("fault", ["no database", "no room", "another writer"])
def test_a_database_that_takes_no_rows_publishes_nothing(job, tmp_path, monkeypatch, fault):
    first = run(job(), "2024-03-03T22:00")
    path, database = job(sinks=SINK), tmp_path / "out.db"
    with contextlib.ExitStack() as stack:
        if fault == "no database":
            database.write_text("this is a text, and a long one, " * 40)
        elif fault == "no room":
            connect = sqlite3.connect

            def small(*arguments, **options):
                connection = connect(*arguments, **options)
                connection.execute("PRAGMA max_page_count = 3")
                return connection

            monkeypatch.setattr("forecast.jobs.sinks.sqlite.sqlite3.connect", small)
        else:
            monkeypatch.setattr("forecast.jobs.sinks.sqlite.PATIENCE", 0.05)
            other = stack.enter_context(contextlib.closing(sqlite3.connect(database, isolation_level=None)))
            other.execute("BEGIN IMMEDIATE")
        kind = Locked if fault == "another writer" else ConfigError
        with pytest.raises(kind, match="A sink must be"):
            run(path, LAST)
    monkeypatch.undo()
    assert current(tmp_path / "out") == first.folder
    assert status(path)[-1]["exit_code"] == kind.exit_code
    if fault == "no database":
        database.unlink()
    again = run(path, LAST)
    assert again.about["shards"] == {"all": 3, "reused": 3}
    assert len(query(database, "SELECT 1 FROM predicted")) == 120


def test_rows_come_from_a_query_that_is_asked_as_of_the_run(job, rows, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "rows.db")) as connection, connection:
        rows().assign(ds=lambda frame: frame["ds"].astype(str)).to_sql("hourly", connection, index=False)
    query = "SELECT unique_id, ds, y FROM hourly WHERE ds <= :as_of"
    outcome = run(job(source=f"sqlite:rows.db?query={query}"), "2024-03-03T20:00")
    assert outcome.about["data"]["rows"] == 40 * 69
    assert outcome.about["data"]["rows_after_as_of"] == 0  # the database had left them out
    from_file = run(job(output="file"), "2024-03-03T20:00")
    assert outcome.about["data"]["digest"] == from_file.about["data"]["digest"]
