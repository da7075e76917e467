"""Rows from a PostgreSQL server and forecasts into it: one transaction, and no secret anywhere."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy

from forecast.cli import main
from forecast.jobs import current, run, status, validate
from pipelines.errors import ConfigError, Locked, SinkAway, SourceError

BEFORE, LAST = "2024-03-03T22:00", "2024-03-03T23:00"
MISSING = "needs PostgreSQL's server: apt-get install postgresql"


def binaries():
    """Returns the folder of the newest server; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    there = shutil.which("initdb")
    return found[-1].parent if found else Path(there).parent if there else None


class Server:
    """A PostgreSQL server of the tests' own, with an account `ada` that has a password.

    Args:
        folder: Empty; of its own.
    """

    def __init__(self, folder):
        self.folder, self.data, self.password = folder, folder / "data", secrets.token_hex(8)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        folder.mkdir()
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
        word = folder / "password"
        word.write_text(self.password)
        word.chmod(0o644)
        for path in (folder, *list(folder.parents)[:-2]):
            path.chmod(path.stat().st_mode | 0o011)
        self._call("initdb", "-D", self.data, "-U", "ada", "-A", "scram-sha-256", f"--pwfile={word}", "-N")
        self.start()

    @property
    def url(self):
        """The URL, with the password left to `${PGPASSWORD}`."""
        return f"postgresql+psycopg://ada:${{PGPASSWORD}}@127.0.0.1:{self.port}/postgres"

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._call("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self):
        """Stops it at once, whatever is under way."""
        self._call("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def _call(self, name, *arguments):
        command = [str(binaries() / name), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode:
            raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    if binaries() is None:
        pytest.skip(MISSING)
    server = Server(tmp_path_factory.mktemp("postgresql") / "server")
    yield server
    server.stop()


@pytest.fixture
def server(started, monkeypatch):
    """The server, without tables; the password is in the environment."""
    monkeypatch.setenv("PGPASSWORD", started.password)
    query(started, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return started


def query(server, text):
    engine = sqlalchemy.create_engine(server.url.replace("${PGPASSWORD}", server.password))
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(text))
        found = pd.DataFrame(result.fetchall(), columns=list(result.keys())) if result.returns_rows else None
    engine.dispose()
    return found


def sink(server, table="predicted"):
    return [{"sql": server.url, "table": table}]


def counted(server):
    return dict(query(server, "SELECT as_of, count(*) FROM predicted GROUP BY 1").itertuples(index=False))


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_table_holds_what_the_file_holds_and_a_second_run_adds_nothing(server, job, rows, zone):
    frame = rows()
    frame["ds"] = frame["ds"].dt.tz_localize(zone)
    path = job(frame, sinks=sink(server))
    outcome = run(path, LAST)
    assert run(path, LAST).status == "unchanged"
    file = pd.read_parquet(outcome.folder / "forecasts.parquet").sort_values(["unique_id", "step"], ignore_index=True)
    table = query(server, "SELECT * FROM predicted ORDER BY unique_id, step")
    assert set(table.pop("job")) == {"nightly"}
    assert len(set(table.pop("as_of"))) == 1
    for name in ("ds", "cutoff"):
        table[name] = pd.to_datetime(table[name], utc=zone is not None)
    pd.testing.assert_frame_equal(table, file, check_dtype=False, check_exact=True)


def test_rows_of_the_same_as_of_are_replaced_others_stay_and_columns_are_added(server, job, rows):
    run(job(sinks=sink(server), levels=[]), BEFORE)
    run(job(name="other", sinks=sink(server), output="other"), LAST)
    run(job(sinks=sink(server)), LAST)
    changed = rows()
    changed["y"] += 1000
    run(job(changed, sinks=sink(server)), LAST)
    found = query(
        server, "SELECT job, count(*) n, min(y_pred) low, count(y_pred_lo_80) k FROM predicted GROUP BY job, as_of"
    )
    found = sorted(found.itertuples(index=False, name=None))
    assert [(job, n, low > 1000, k) for job, n, low, k in found] == [
        ("nightly", 120, False, 0),
        ("nightly", 120, True, 120),
        ("other", 120, False, 120),
    ]


def test_a_query_as_of_the_run_gives_the_numbers_of_a_file(server, job, rows, tmp_path):
    frame = rows()
    engine = sqlalchemy.create_engine(server.url.replace("${PGPASSWORD}", server.password))
    types = {"y": sqlalchemy.Numeric(30, 15), "ds": sqlalchemy.DateTime()}
    with engine.begin() as connection:
        frame.to_sql("hourly", connection, index=False, dtype=types, chunksize=1000)
    engine.dispose()
    text = "SELECT unique_id, ds, y FROM hourly WHERE ds <= :as_of"
    there = run(job(source=f"sql:{server.url}?query={text}"), "2024-03-03T20:00")
    assert there.about["data"]["rows_after_as_of"] == 0  # the database had left them out
    here = run(job(output="file"), "2024-03-03T20:00")
    one, other = (pd.read_parquet(one.folder / "forecasts.parquet")["y_pred"] for one in (there, here))
    np.testing.assert_array_equal(one, other)
    assert run(job(source=f"sql:{server.url}?table=public.hourly"), LAST).about["counts"]["ok"] == 40


def test_days_and_times_with_an_offset_are_stamps(server):
    from pipelines.sources import load

    query(server, "CREATE TABLE days (day date, at timestamptz, y real)")
    query(server, "INSERT INTO days VALUES ('2024-01-04', '2024-01-04 09:00-05', 1), ('2024-01-05', now(), 2)")
    days = load(f"sql:{server.url}?query=SELECT day, y FROM days ORDER BY day").index  # noqa: S608
    assert days.tolist() == [pd.Timestamp("2024-01-04"), pd.Timestamp("2024-01-05")]
    times = load(f"sql:{server.url}?query=SELECT at, y FROM days ORDER BY day").index  # noqa: S608
    assert times[0] == pd.Timestamp("2024-01-04 14:00", tz="UTC")


def test_the_password_is_in_no_file_no_message_and_no_output(server, job, rows, tmp_path, capsys, monkeypatch):
    rows().to_parquet(tmp_path / "x.parquet")
    engine = sqlalchemy.create_engine(server.url.replace("${PGPASSWORD}", server.password))
    with engine.begin() as connection:
        rows().to_sql("hourly", connection, index=False, chunksize=1000)
    engine.dispose()
    path = job(source=f"sql:{server.url}?table=hourly", sinks=sink(server))
    for command in (["run"], ["run", "--json"], ["status", "--json"], ["validate"]):
        with pytest.raises(SystemExit) as end:
            main(["job", command[0], str(path), *(["--as-of", LAST] if command[0] != "status" else []), *command[1:]])
        assert not end.value.code
    monkeypatch.setenv("PGPASSWORD", server.password + "wrong")
    with pytest.raises(SourceError, match="password authentication failed") as error:
        validate(path, LAST)
    shown = capsys.readouterr()
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    texts = [*files, shown.out.encode(), shown.err.encode(), str(error.value).encode()]
    assert not [text for text in texts if server.password.encode() in text]
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(ConfigError, match=r"`\$\{PGPASSWORD\}` must be a variable"):
        validate(path, LAST)
    written = server.url.replace("${PGPASSWORD}", "hunter2")
    with pytest.raises(ConfigError, match="must stand in the environment") as error:
        validate(job(source=f"sql:{written}?table=hourly"), LAST)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("table=hourli", Exception, "No table is called 'hourli'. Did you mean 'hourly'"),
        ("query=SELECT nothing FROM hourly", SourceError, 'column "nothing" does not exist'),
        ("query=DELETE FROM hourly", ConfigError, "`query` must be one SELECT"),
        (
            "query=WITH gone AS (DELETE FROM hourly RETURNING *) SELECT * FROM gone",
            SourceError,
            "data-modifying",
        ),
        ("query=SELECT nextval('counter') AS y", SourceError, "read-only transaction"),
        ("query=SELECT * FROM hourly WHERE y > :least", ConfigError, ":as_of the only name"),
        ("query=SELECT * FROM hourly", Exception, "must hold rows"),
    ],
)
def test_what_cannot_be_read_says_why_and_changes_nothing(server, what, error, message):
    from pipelines.sources import load

    query(server, "CREATE TABLE hourly (ds timestamp, y real); CREATE SEQUENCE counter")
    with pytest.raises(error, match=message):
        load(f"sql:{server.url}?{what}")


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def halfway(monkeypatch):
    """Calls something in the middle of the next transaction: a third of the rows are sent, none is committed."""

    def at(event):
        from forecast.jobs.sinks import sql

        rows = sql._rows

        def interrupted(forecasts):
            for number, part in enumerate(rows(forecasts)):
                if number == 1:
                    event()
                yield part

        monkeypatch.setattr(sql, "_BATCH", 40)
        monkeypatch.setattr(sql, "_rows", interrupted)

    return at


def test_a_server_that_goes_away_in_the_transaction_costs_a_retry_and_no_row(
    server, job, tmp_path, halfway, monkeypatch
):
    first = run(job(sinks=sink(server)), BEFORE)
    halfway(server.stop)
    path = job(sinks=sink(server))
    with pytest.raises(SinkAway, match="A sink must be there until all rows are in it") as error:
        run(path, LAST)
    assert error.value.exit_code == 75
    assert current(tmp_path / "out") == first.folder
    assert status(path)[-1]["exit_code"] == 75
    with pytest.raises(SinkAway, match="A database must answer"):  # still away
        run(path, LAST)
    server.start()
    monkeypatch.undo()
    monkeypatch.setenv("PGPASSWORD", server.password)
    assert counted(server) == {"2024-03-03T22:00:00+00:00": 120}
    again = run(path, LAST)
    assert (again.status, again.about["shards"]["reused"]) == ("published", 3)
    assert counted(server) == {"2024-03-03T22:00:00+00:00": 120, "2024-03-03T23:00:00+00:00": 120}


def test_a_run_that_is_killed_in_the_transaction_leaves_the_table_as_it_was(server, job, tmp_path):
    run(job(sinks=sink(server)), BEFORE)
    path = job(sinks=sink(server))
    code = (
        "import os, signal\n"
        "from forecast.jobs import run\n"
        "from forecast.jobs.sinks import sql\n"
        "rows, sql._BATCH = sql._rows, 40\n"
        "def killed(forecasts):\n"
        "    for number, part in enumerate(rows(forecasts)):\n"
        "        if number == 1:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield part\n"
        "sql._rows = killed\n"
        f"run({str(path)!r}, {LAST!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert counted(server) == {"2024-03-03T22:00:00+00:00": 120}
    assert run(path, LAST).status == "published"
    assert counted(server) == {"2024-03-03T22:00:00+00:00": 120, "2024-03-03T23:00:00+00:00": 120}


def test_whoever_writes_too_long_is_waited_for_and_then_named(server, job, monkeypatch):
    from forecast.jobs.sinks import sql

    monkeypatch.setattr(sql, "PATIENCE", 1)
    run(job(sinks=sink(server)), BEFORE)
    engine = sqlalchemy.create_engine(server.url.replace("${PGPASSWORD}", server.password))
    path = job(sinks=sink(server))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("LOCK TABLE predicted"))
        with pytest.raises(Locked, match="A sink must be free within 1 seconds"):
            run(path, LAST)
    engine.dispose()
    assert run(path, LAST).status == "published"


def test_two_that_write_one_table_at_once_both_have_their_rows(server, job, tmp_path):
    outcome = run(job(), LAST)
    file, failed = outcome.folder / "forecasts.parquet", []
    from forecast.jobs.sinks import sql

    def write(name):
        try:
            for _ in range(3):
                sql.replace(server.url, "predicted", name, "2024-03-03", file)
        except Exception as error:  # a thread's error would only be printed
            failed.append(error)

    threads = [threading.Thread(target=write, args=(f"job {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    found = query(server, "SELECT job, count(*) n FROM predicted GROUP BY 1 ORDER BY 1")
    assert found["n"].tolist() == [120] * 4


def test_a_source_that_is_away_is_tried_again_and_ends_with_69(job, monkeypatch, capsys):
    from pipelines import databases

    monkeypatch.setattr(databases, "PAUSES", (0.1, 0.1))
    monkeypatch.setenv("PGPASSWORD", "x")
    path = job(source="sql:postgresql+psycopg://ada:${PGPASSWORD}@127.0.0.1:9/prices?table=hourly")
    start = time.monotonic()
    with pytest.raises(SystemExit) as end:
        main(["job", "run", str(path), "--as-of", LAST])
    assert end.value.code == 69
    assert time.monotonic() - start >= 0.2
    assert "A database must answer" in capsys.readouterr().err


# --- without a server -------------------------------------------------------------------------------------------------


def test_any_url_of_sqlalchemy_is_read_and_written(job, rows, tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/rows.db")
    with engine.begin() as connection:
        rows().to_sql("hourly", connection, index=False)
    engine.dispose()
    url = f"sqlite:///{tmp_path}/rows.db"
    outcome = run(job(source=f"sql:{url}?table=hourly", sinks=[{"sql": url, "table": "predicted"}]), LAST)
    file = pd.read_parquet(outcome.folder / "forecasts.parquet")
    with sqlalchemy.create_engine(url).connect() as connection:
        table = pd.read_sql("SELECT * FROM predicted", connection)
    np.testing.assert_array_equal(table["y_pred"], file["y_pred"])
    same = run(job(output="file"), LAST)
    assert outcome.about["data"]["digest"] == same.about["data"]["digest"]


def test_a_whole_url_may_stand_in_the_environment_and_schedules_name_the_variables(job, rows, tmp_path, monkeypatch):
    from forecast.jobs.config import variables

    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/out.db")
    path = job(sinks=[{"sql": "${DATABASE_URL}"}], ping="https://${PING}/x", source="rows.parquet")
    monkeypatch.setenv("PING", "127.0.0.1:9")
    assert variables(path) == ("PING", "DATABASE_URL")
    outcome = run(path, LAST)
    assert str(tmp_path) not in str(outcome.about["config"]["sinks"])
    assert os.path.getsize(tmp_path / "out.db") > 0


def test_without_sqlalchemy_the_extra_is_named(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigError, match=r"pip install 'keras-forecast\[sql\]'"):
        validate(job(source="sql:postgresql+psycopg://db/x?table=y"), LAST)
